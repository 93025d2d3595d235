//! Requests that are wrong in one thing each: the status, a problem, and a detail that helps.

use serde_json::Value;

use super::{Answer, Limits, NOW, Pond, USERS, created, served_with};

const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const TOML: (&str, &str) = ("content-type", "application/toml");

const BAD: (u16, &str) = (400, "bad-request");
const MISSING: (u16, &str) = (404, "not-found");
const LARGE: (u16, &str) = (413, "too-large");
const TYPE: (u16, &str) = (415, "unsupported-media-type");
const FAULTS: (u16, &str) = (422, "invalid-definition");

fn check_problem(answer: &Answer, (status, word): (u16, &str), says: &str, what: &str) {
    assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    let problem: Value = answer.json();
    assert_eq!(problem["type"], format!("urn:millpond:{word}"), "{what}");
    assert_eq!(problem["status"], status, "{what}");
    assert!(!problem["title"].as_str().unwrap().is_empty());
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(says), "{what}: `{detail}` does not say `{says}`");
    assert!(!detail.chars().any(char::is_control) && detail.len() < 700, "{what}: {detail:?}");
}

/// Method and path, headers, body; status and word, and what the detail says.
type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], &'c str, (u16, &'c str), &'c str);

async fn pond() -> Pond {
    let limits = Limits { body_bytes_max: 2_000, events_max: 3, inflight_bytes_max: 10_000 };
    let pond = served_with(&[USERS], limits, |_| {});
    pond.put("/v1/events", &[created("1", NOW, "u", "A")]).await;
    pond
}

async fn check_bodies(pond: &Pond, cases: &[Case<'_>]) {
    for (request, headers, body, expected, says) in cases {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = pond.ask(method, path, headers, (*body).to_owned()).await;
        check_problem(&answer, *expected, says, &format!("{request} {headers:?} {body:.40}"));
    }
}

#[tokio::test]
async fn bodies_of_events_that_are_wrong() {
    const EVENTS: &str = "POST /v1/events";
    let long = format!("\"{}\"", "x".repeat(2_000));
    let pond = pond().await;
    let cases: [Case<'_>; 20] = [
        (EVENTS, &[], "{}", TYPE, "application/x-ndjson"),
        (EVENTS, &[("content-type", "text/html")], "{}", TYPE, "`text/html`"),
        (EVENTS, &[("content-type", "application/xml; a=b")], "{}", TYPE, "send"),
        (EVENTS, &[JSON, ("content-encoding", "gzip")], "{}", TYPE, "without Content-Encoding"),
        (EVENTS, &[("content-type", "application/json; charset=latin1")], "{}", TYPE, "UTF-8"),
        (EVENTS, &[("content-type", "application/json; charset=utf-80")], "{}", TYPE, "UTF-8"),
        (EVENTS, &[JSON], "", BAD, "empty"),
        (EVENTS, &[JSON], "{", BAD, "not JSON"),
        (EVENTS, &[JSON], "[{}", BAD, "Nothing was taken"),
        (EVENTS, &[JSON], "[{},]", BAD, "not JSON"),
        (EVENTS, &[JSON], "{}\n{}", BAD, "application/x-ndjson"),
        (EVENTS, &[JSON], "[1,2,3,4]", LARGE, "more than 3 events"),
        (EVENTS, &[LINES], "1\n2\n3\n4", LARGE, "send smaller ones"),
        (EVENTS, &[JSON], &long, LARGE, "smaller parts"),
        (EVENTS, &[("content-type", "application/cloudevents-batch+json")], "{}", BAD, "an array of events"),
        (EVENTS, &[("ce-specversion", "1.0"), ("ce-id", "%ff")], "", BAD, "percent-encode"),
        (EVENTS, &[("ce-specversion", "1.0"), ("ce-data", "x")], "", BAD, "Content-Type"),
        (EVENTS, &[("ce-specversion", "1.0"), JSON], "{", BAD, "not JSON"),
        ("POST /v1/events/nobody", &[JSON], "{}", MISSING, "GET /v1/joins"),
        ("POST /v1/events?join=users", &[JSON], "{}", BAD, "leave it out"),
    ];
    check_bodies(&pond, &cases).await;
    let stats = pond.get("/v1/joins/users/stats").await.ok();
    assert_eq!(stats["received"], 1, "nothing of all that was taken");
    for charset in ["utf8", "UTF-8", "\"utf-8\"; a=b", "utf-8;a=charset"] {
        let kind = format!("application/json; a=b; charset={charset}");
        pond.ask("POST", EVENTS.trim_start_matches("POST "), &[("content-type", &kind)], "[]").await.ok();
    }
}

fn preview_of(definition: &str, events: &str) -> String {
    serde_json::json!({"definition": definition, "events": events}).to_string()
}

#[tokio::test]
async fn bodies_of_decisions_and_definitions_that_are_wrong() {
    const ACCEPT: &str = "POST /v1/late/users/accept";
    const DROP: &str = "POST /v1/late/users/drop";
    const PREVIEW: &str = "POST /v1/preview";
    let long = preview_of(USERS, &"x".repeat(2_000));
    let (cut, faulty) = (preview_of(USERS, "[{}"), preview_of("name = 1", ""));
    let pond = pond().await;
    let cases: [Case<'_>; 21] = [
        (ACCEPT, &[], "{}", TYPE, "application/json"),
        (ACCEPT, &[JSON], "", BAD, "expected"),
        (ACCEPT, &[JSON], "{}", BAD, "{\"all\":true}"),
        (ACCEPT, &[JSON], r#"{"key":"u","all":true}"#, BAD, "which events"),
        (ACCEPT, &[JSON], r#"{"position":"1/a"}"#, BAD, "which events"),
        (ACCEPT, &[JSON], r#"{"key":"u","position":"a"}"#, BAD, "TIMESTAMP/ID"),
        (DROP, &[JSON], r#"{"keys":1}"#, BAD, "unknown field"),
        (DROP, &[JSON], r#"{"key":"u","position":"1/a"}"#, MISSING, "GET /v1/late/users"),
        (PREVIEW, &[], "{}", TYPE, "application/json"),
        (PREVIEW, &[JSON], "{}", BAD, "expected {\"definition\""),
        (PREVIEW, &[JSON], r#"{"definition":"","events":"","join":""}"#, BAD, "unknown field"),
        (PREVIEW, &[JSON], &cut, BAD, "`events` is not JSON"),
        (PREVIEW, &[JSON], &faulty, FAULTS, "`faults`"),
        (PREVIEW, &[JSON], &long, LARGE, "more than 2000 bytes"),
        ("PUT /v1/joins/x", &[], "", TYPE, "application/toml"),
        ("PUT /v1/joins/x", &[JSON], "{}", TYPE, "application/toml"),
        ("PUT /v1/joins/x", &[TOML], "", FAULTS, "`faults`"),
        ("PUT /v1/joins/x", &[TOML], USERS, BAD, "/v1/joins/users"),
        ("PUT /v1/joins/x?rebuild=maybe", &[TOML], "", BAD, "true or false"),
        ("POST /v1/check", &[TOML], "name = 1", FAULTS, "faults"),
        ("POST /v1/check", &[TOML, ("content-encoding", "br")], "", TYPE, "not encoded"),
    ];
    check_bodies(&pond, &cases).await;
    let wide = super::served(&[]);
    let many = preview_of(USERS, &"1\n".repeat(1_001));
    check_bodies(&wide, &[(PREVIEW, &[JSON], &many, LARGE, "more than 1000 events")]).await;
    let not_utf8 = pond.ask("POST", "/v1/check", &[TOML], vec![0xff]).await;
    check_problem(&not_utf8, BAD, "UTF-8", "a definition in Latin-1");
}

#[tokio::test]
async fn paths_and_queries_that_are_wrong() {
    let long = format!("GET /v1/views/users/{}", "k".repeat(1_025));
    let pond = pond().await;
    for (request, expected, says) in [
        ("GET /page", MISSING, "/openapi.json"),
        ("GET /page/nothing.js", MISSING, "no file `nothing.js`"),
        ("GET /page/..%2Findex.html", MISSING, "no file"),
        ("GET /?token=secret", BAD, "takes none"),
        ("GET /v1", MISSING, "/openapi.json"),
        ("GET /v1/views/users/u/", MISSING, "no route"),
        ("GET /v2/joins", MISSING, "no route"),
        ("GET /v1/views/users/%ff", BAD, "UTF-8"),
        ("GET /v1/views/users/a%00b", BAD, "control character"),
        ("GET /v1/views/users/a%0ab", BAD, "control character"),
        ("GET /v1/views/us%7fers/a", BAD, "control character"),
        (&long, BAD, "at most 1024"),
        ("GET /v1/views/users/nobody", MISSING, "GET /v1/views/users"),
        ("GET /v1/views/nobody/u", MISSING, "GET /v1/joins"),
        ("GET /v1/views/nobody", MISSING, "GET /v1/joins"),
        ("GET /v1/views/users/nobody/events", MISSING, "lists its keys"),
        ("GET /v1/views/users/nobody?explain", MISSING, "lists its keys"),
        ("GET /v1/views/users/nobody?at=1", MISSING, "lists its keys"),
        ("POST /v1/views/users/nobody/snapshot", MISSING, "lists its keys"),
        ("POST /v1/views/users/nobody/trim", MISSING, "lists its keys"),
        ("DELETE /v1/views/users/nobody", MISSING, "nothing had to go"),
        ("GET /v1/views/users/u?at=yesterday", BAD, "RFC 3339"),
        ("GET /v1/views/users/u?at=-1", BAD, "milliseconds"),
        ("GET /v1/views/users/u?at=253402300800000", BAD, "milliseconds"),
        ("GET /v1/views/users/u?at=1&explain", BAD, "one of them"),
        ("GET /v1/views/users/u?explain=2", BAD, "true or false"),
        ("GET /v1/views/users/u?at=1&at=2", BAD, "twice"),
        ("GET /v1/views/users/u?field=name", BAD, "go with `explain`"),
        ("GET /v1/views/users/u?at=1&limit=1", BAD, "go with `explain`"),
        ("GET /v1/views/users/u?explain&field=nme", BAD, "the views have `name`, `total`"),
        ("GET /v1/views/users/u?explain&limit=1001", BAD, "from 1 to 1000"),
        ("GET /v1/views/users?limit=0", BAD, "from 1 to 1000"),
        ("GET /v1/views/users?limit=1001", BAD, "from 1 to 1000"),
        ("GET /v1/views/users?limit=%2B1", BAD, "from 1 to 1000"),
        ("GET /v1/views/users?limit=", BAD, "from 1 to 1000"),
        ("GET /v1/views/users?lmit=1", BAD, "`limit`"),
        ("GET /v1/views/users?%00=1", BAD, "`limit`"),
        ("GET /v1/views/users?prefix=%ff", BAD, "UTF-8"),
        ("GET /v1/views/users?prefix=%00", BAD, "control character"),
        ("GET /v1/views/users?where=total", BAD, "FIELD OP VALUE"),
        ("GET /v1/views/users?where=totl%3E1", BAD, "`total`"),
        ("GET /v1/views/users/u/events?after=1", BAD, "TIMESTAMP/ID"),
        ("GET /v1/views/users/u/events?after=x/1", BAD, "TIMESTAMP/ID"),
        ("GET /v1/views/users/u/events?order=random", BAD, "oldest or newest"),
        ("GET /v1/late/users?after=1/a", BAD, "`next`"),
        ("GET /v1/late/nobody", MISSING, "no join"),
        ("GET /v1/duplicates/nobody", MISSING, "no join"),
        ("GET /v1/duplicates/users?after=1/a", BAD, "`key`, `limit`"),
        ("GET /v1/quarantine/users?after=1", BAD, "hexadecimal"),
        ("GET /v1/quarantine/users/1", MISSING, "lists them"),
        ("GET /v1/changes/users?from=yesterday", BAD, "start or now"),
        ("GET /v1/changes/users?last-event-id=x", BAD, "that the stream gave"),
        ("GET /v1/changes/nobody", MISSING, "no join"),
        ("GET /v1/joins/nobody", MISSING, "no join"),
        ("GET /v1/joins/nobody/samples", MISSING, "no join"),
        ("GET /v1/joins/nobody/tails", MISSING, "no join"),
        ("GET /v1/joins/users/samples?after=now", BAD, "RFC 3339"),
        ("DELETE /v1/joins/nobody", MISSING, "no join"),
        ("DELETE /v1/joins/users?data=maybe", BAD, "keep or delete"),
        ("GET /healthz?verbose", BAD, "takes none"),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = pond.ask(method, path, &[], "").await;
        check_problem(&answer, expected, says, request);
    }
    let answer = pond.ask("GET", "/v1/changes/users", &[("last-event-id", "c1")], "").await;
    check_problem(&answer, BAD, "Last-Event-ID", "an id of another stream");
}

#[tokio::test]
async fn methods_that_a_route_does_not_have() {
    let pond = pond().await;
    for (method, path, allowed) in [
        ("GET", "/v1/events", "POST"),
        ("DELETE", "/v1/events/users", "POST"),
        ("POST", "/v1/views/users/u", "GET,HEAD,DELETE"),
        ("PATCH", "/v1/joins/users", "GET,HEAD,PUT,DELETE"),
        ("POST", "/v1/joins", "GET,HEAD"),
        ("TRACE", "/healthz", "GET,HEAD"),
        ("QUERY", "/metrics", "GET,HEAD"),
    ] {
        let answer = pond.ask(method, path, &[], "").await;
        check_problem(&answer, (405, "method-not-allowed"), "Allow", &format!("{method} {path}"));
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        let options = pond.ask("OPTIONS", path, &[], "").await;
        assert_eq!((options.status.as_u16(), options.header("allow")), (204, allowed), "{path}");
    }
}

/// A page of the web whose name leads to this machine must get nothing (DNS rebinding).
#[tokio::test]
async fn another_host_is_refused_while_there_are_no_tokens() {
    let pond = pond().await;
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:7717", 200),
        ("[::1]:7717", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("evil.example:7717", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:evil", 421),
        ("", 421),
        ("0.0.0.0:7717", 421),
    ] {
        let request = axum::http::Request::get("/v1/joins").header("host", host).body("".into()).unwrap();
        let answer = pond.send(request).await;
        assert_eq!(answer.status.as_u16(), expected, "{host}");
        if expected == 421 {
            check_problem(&answer, (421, "misdirected"), "make tokens", host);
        }
    }
}

/// What takes no body needs no leave of the browser: any page that was visited could trim and retry.
#[tokio::test]
async fn a_page_of_somebody_else_changes_nothing_while_there_are_no_tokens() {
    let pond = pond().await;
    for (headers, expected) in [
        (&[][..], 200),
        (&[("origin", "http://localhost:7717")][..], 200),
        (&[("origin", "https://LOCALHOST"), ("sec-fetch-site", "same-origin")], 200),
        (&[("origin", "http://[::1]:3000"), ("sec-fetch-site", "none")], 200),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "https://localhost.evil.example")], 403),
        (&[("origin", "http://localhost:evil")], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("origin", "http://localhost"), ("sec-fetch-site", "cross-site")], 403),
    ] {
        for route in ["/v1/joins/users/trim", "/v1/joins/users/snapshot", "/v1/quarantine/users/retry"] {
            let answer = pond.ask("POST", route, headers, "").await;
            assert_eq!(answer.status.as_u16(), expected, "{route} {headers:?}");
            if expected == 403 {
                check_problem(&answer, (403, "forbidden"), "make tokens", route);
            }
        }
        assert_eq!(pond.ask("GET", "/v1/joins", headers, "").await.status.as_u16(), 200, "{headers:?}");
    }
    let guarded = served_with(&[USERS], super::LIMITS, |dir| {
        crate::access::Tokens::add(dir.path(), "page", &[crate::access::Scope::Admin], 1).unwrap();
    });
    let answer = guarded.ask("POST", "/v1/joins/users/trim", &[("origin", "https://evil.example")], "").await;
    check_problem(&answer, (401, "unauthorized"), "Bearer", "with tokens it is they that count");
}

#[tokio::test]
async fn a_request_for_two_hosts_is_refused() {
    let answer = pond().await.ask("GET", "/v1/joins", &[("host", "evil.example")], "").await;
    check_problem(&answer, BAD, "twice", "two hosts");
}

#[tokio::test]
async fn what_may_help_later_says_when() {
    let pond = pond().await;
    pond.service.stop().unwrap();
    let answer = pond.ask("POST", "/v1/events", &[JSON], "{}").await;
    check_problem(&answer, (503, "unavailable"), "nothing was taken", "a server without joins");
    assert_eq!(answer.header("retry-after"), "5");
    pond.stop.send_replace(true);
    let ready = pond.get("/readyz").await;
    check_problem(&ready, (503, "unavailable"), "stopping", "readiness");
    assert_eq!(pond.get("/healthz").await.text(), "ok");
}

#[test]
fn every_word_has_a_status_and_a_title_of_its_own() {
    use super::super::problem::Word;
    let titles: std::collections::BTreeSet<_> = Word::ALL.iter().map(|word| (word.code(), word.title())).collect();
    assert_eq!(titles.len(), Word::ALL.len());
    assert!(Word::ALL.iter().all(|word| word.status().as_u16() >= 400));
}
