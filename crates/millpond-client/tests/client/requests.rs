//! What is asked of a server, when it is asked again, and what its refusals become.
use std::time::Duration;

use crate::fake::{Fake, json, refusal, taken};
use axum::body::Body;
use futures_util::{TryStreamExt, stream};
use millpond_client::wire::LateChoice;
use millpond_client::{Error, Rebuild, Retry, Stored, To, Views};
use serde_json::json as value;
use tokio::time::Instant;

fn orders() -> To {
    To::Join("orders".into())
}

#[tokio::test(start_paused = true)]
async fn an_event_is_given_again_until_it_is_taken() {
    let fake = Fake::with([refusal(503, "unavailable"), refusal(408, "timeout"), taken(1)]).await;
    let started = Instant::now();
    let taken = fake.client().put_event(&orders(), &value!({"id": "e"})).await.unwrap();
    assert_eq!(taken.accepted, 1);
    assert_eq!(started.elapsed().as_millis() / 100, 3, "100 ms, then 200 ms");
    let asked = fake.asked();
    assert_eq!(asked.len(), 3);
    for asked in asked {
        assert_eq!((asked.line.as_str(), asked.body.as_str()), ("POST /v1/events/orders", r#"{"id":"e"}"#));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_server_asks_for_is_kept() {
    let mut busy = refusal(429, "too-many");
    busy.1.push(("retry-after", "7".into()));
    let fake = Fake::with([busy, json(r#"{"joins":[]}"#)]).await;
    let started = Instant::now();
    fake.client().joins().await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(7), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_no_repeating_mends_is_not_repeated() {
    for (status, word) in
        [(400, "bad-request"), (401, "unauthorized"), (404, "not-found"), (413, "too-large"), (500, "internal")]
    {
        let fake = Fake::with([refusal(status, word)]).await;
        let error = fake.client().put_ndjson(&To::All, "{}\n").await.unwrap_err();
        assert_eq!((error.word(), error.is_retryable(), error.is_not_found()), (Some(word), false, status == 404));
        assert!(error.to_string().contains("what is wrong"), "{error}");
        assert_eq!(fake.lines(), ["POST /v1/events"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_done_twice_is_not_repeated() {
    let fake = Fake::with((0..5).map(|_| refusal(503, "unavailable"))).await;
    let client = fake.client();
    client.late_accept("orders", &LateChoice { all: true, ..LateChoice::default() }).await.unwrap_err();
    client.quarantine_retry("orders", None).await.unwrap_err();
    client.quarantine_drop("orders", Some("0f")).await.unwrap_err();
    client.remove_join("orders", Stored::Keep).await.unwrap_err();
    client.erase("orders", "k").await.unwrap_err();
    assert_eq!(
        fake.lines(),
        [
            "POST /v1/late/orders/accept",
            "POST /v1/quarantine/orders/retry",
            "DELETE /v1/quarantine/orders/0f",
            "DELETE /v1/joins/orders?data=keep",
            "DELETE /v1/views/orders/k",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn patience_ends_with_the_last_refusal() {
    let fake = Fake::with((0..9).map(|_| refusal(503, "unavailable"))).await;
    let retry = Retry { attempts_max: 3, ..Retry::default() };
    let error = fake.client_with(retry).ready().await.unwrap_err();
    assert_eq!((error.word(), error.is_retryable()), (Some("unavailable"), true));
    assert_eq!(fake.lines().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_asked_again_and_then_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = millpond_client::Client::builder(&url).chance(|| 1.0).build().unwrap();
    let started = Instant::now();
    let error = client.joins().await.unwrap_err();
    assert!(started.elapsed() > Duration::from_secs(3), "{:?}", started.elapsed());
    let said = error.to_string();
    assert!(
        matches!(error, Error::Transport { .. }) && said.contains(&url) && said.contains("millpond serve"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn something_else_than_a_millpond_server_is_said_to_be_that() {
    for reply in [
        (200, vec![], Body::from("<html>hello")),
        (403, vec![], Body::from("<html>no")),
        (301, vec![("location", "http://127.0.0.2/".to_owned())], Body::empty()),
        (400, vec![], Body::from(r#"{"type":"about:blank","title":"t","status":400,"detail":"d"}"#)),
    ] {
        let status = reply.0;
        let fake = Fake::with([reply]).await;
        let error = fake.client().joins().await.unwrap_err();
        assert!(matches!(error, Error::Unexpected { status: found, .. } if found == status), "{error}");
        assert!(error.to_string().contains("is it a millpond server"), "{error}");
        assert_eq!(fake.lines().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_a_definition_are_told_with_their_places() {
    let mut reply = refusal(422, "invalid-definition");
    reply.2 = Body::from(
        r#"{"type":"urn:millpond:invalid-definition","title":"t","status":422,"detail":"one fault","faults":[{"line":3,"column":5,"message":"no such fold"}]}"#,
    );
    let fake = Fake::with([reply]).await;
    let error = fake.client().check("name = 1").await.unwrap_err();
    assert_eq!(error.to_string(), "one fault\n  3:5: no such fold");
    let asked = fake.asked().remove(0);
    assert_eq!((asked.header("content-type"), asked.body.as_str()), (Some("application/toml"), "name = 1"));
}

#[tokio::test(start_paused = true)]
async fn many_events_go_in_batches_and_their_answers_are_added_up() {
    let fake = Fake::with([taken(1000), refusal(503, "unavailable"), taken(1000), taken(500)]).await;
    let events = stream::iter((0..2500).map(|number| format!(r#"{{"id":"{number}"}}"#)));
    let taken = fake.client().put_all(&orders(), events).await.unwrap();
    assert_eq!((taken.received, taken.accepted), (2500, 2500));
    let asked = fake.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|asked| asked.header("content-type") == Some("application/x-ndjson")));
    let mut sent: Vec<&str> = asked.iter().flat_map(|asked| asked.body.lines()).collect();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent.len(), 2500);
}

#[tokio::test(start_paused = true)]
async fn pages_are_one_stream() {
    let page = |keys: &[&str], next: Option<&str>| {
        let views: Vec<_> = keys.iter().map(|key| value!({"key": key, "version": 1, "document": {"a": 1.0}})).collect();
        json(value!({"views": views, "next": next}).to_string())
    };
    let fake = Fake::with([page(&["a", "b"], Some("b")), page(&[], Some("d e")), page(&["f"], None)]).await;
    let which = Views { prefix: "x&y".into(), conditions: vec!["total >= 10".into(), "a=b".into()], page: Some(2) };
    let views: Vec<_> = fake.client().views("orders", which).try_collect().await.unwrap();
    let keys: Vec<_> = views.iter().map(|view| view.key.as_str()).collect();
    assert_eq!((keys, views[0].document.get()), (vec!["a", "b", "f"], r#"{"a":1.0}"#));
    let rest = "where=total+%3E%3D+10&where=a%3Db&prefix=x%26y";
    assert_eq!(
        fake.lines(),
        [
            format!("GET /v1/views/orders?{rest}&limit=2"),
            format!("GET /v1/views/orders?{rest}&after=b&limit=2"),
            format!("GET /v1/views/orders?{rest}&after=d+e&limit=2"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_view_comes_with_its_version_and_the_token_goes_along() {
    let tagged =
        |status: u16, body: &'static str| (status, vec![("etag", "\"17-0000beef\"".to_owned())], Body::from(body));
    let fake = Fake::with([tagged(200, r#"{"id": "a/b"}"#), tagged(304, "")]).await;
    let client = millpond_client::Client::builder(&fake.url).token("mp_secret").build().unwrap();
    let view = client.view("orders", "a/b").await.unwrap();
    assert_eq!((view.version, view.document.get()), (17, r#"{"id": "a/b"}"#));
    assert!(client.view_if_changed("orders", "a/b", &view.tag).await.unwrap().is_none());
    let asked = fake.asked();
    assert_eq!(asked[1].header("if-none-match"), Some("\"17-0000beef\""));
    for asked in asked {
        assert_eq!(asked.line, "GET /v1/views/orders/a%2Fb");
        assert_eq!(asked.header("authorization"), Some("Bearer mp_secret"));
    }
    assert!(!format!("{client:?}").contains("mp_secret"), "{client:?}");
}

#[tokio::test(start_paused = true)]
async fn each_decision_has_its_route() {
    let done = || json(r#"{"done":2}"#);
    let fake = Fake::with([
        json(r#"{"name":"orders","created":true}"#),
        json(r#"{"name":"orders","created":false,"rebuilt":{"rows":3,"accepted":3,"ignored":0,"quarantined":0}}"#),
        json(r#"{"closed":true,"events":3,"tail":0}"#),
        json(r#"{"trimmed":3}"#),
        done(),
        done(),
        done(),
    ])
    .await;
    let client = fake.client();
    assert!(client.put_join("orders", "x", Rebuild::default()).await.unwrap().created);
    let rebuild = Rebuild { rebuild: true, drop_unnamed: true };
    assert_eq!(client.put_join("orders", "x", rebuild).await.unwrap().rebuilt.unwrap().rows, 3);
    assert!(client.snapshot("orders", "k").await.unwrap().closed);
    assert_eq!(client.trim("orders", "k").await.unwrap().trimmed, 3);
    assert_eq!(client.snapshot_all("orders").await.unwrap().done, 2);
    assert_eq!(client.trim_all("orders").await.unwrap().done, 2);
    let choice = LateChoice { key: Some("k".into()), position: Some("1/e".into()), all: false };
    assert_eq!(client.late_drop("orders", &choice).await.unwrap().done, 2);
    assert_eq!(
        fake.lines(),
        [
            "PUT /v1/joins/orders",
            "PUT /v1/joins/orders?rebuild=true&drop_unnamed=true",
            "POST /v1/views/orders/k/snapshot",
            "POST /v1/views/orders/k/trim",
            "POST /v1/joins/orders/snapshot",
            "POST /v1/joins/orders/trim",
            "POST /v1/late/orders/drop",
        ]
    );
    assert_eq!(fake.asked()[6].body, r#"{"key":"k","position":"1/e","all":false}"#);
}
