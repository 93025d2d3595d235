//! The late queue, the quarantine and the joins themselves.

use millpond_store::Options;
use serde_json::{Value, json};

use super::{LIMITS, Limits, NOW, ORDERS, USERS, created, failed, paid, served, served_as, served_with, with_snapshot};

#[tokio::test]
async fn late_events_wait_for_a_decision() {
    let pond = served(&[USERS]);
    with_snapshot(&pond, "a/b").await;
    with_snapshot(&pond, "c").await;
    let late = |n: u64, key: &str| paid(&format!("late-{n}/x"), NOW - n, key, "10");
    let events: Vec<String> = (1..=3).map(|n| late(n, "a/b")).chain((1..=2).map(|n| late(n, "c"))).collect();
    assert_eq!(pond.put("/v1/events", &events).await["late"], 5);

    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = pond.get(&format!("/v1/late/users?limit=2{after}")).await.ok();
        let entry =
            |entry: &Value| format!("{} {}", entry["key"].as_str().unwrap(), entry["position"].as_str().unwrap());
        found.extend(page["late"].as_array().unwrap().iter().map(entry));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", next.replace('%', "%25"));
    }
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!((&*found[0], &*found[4]), (&*format!("a/b {}/late-3/x", NOW - 3), &*format!("c {}/late-1/x", NOW - 1)));
    let of_c = pond.get("/v1/late/users?key=c").await.ok();
    assert_eq!((of_c["late"].as_array().unwrap().len(), of_c.get("next")), (2, None));

    let one = json!({"key": "a/b", "position": format!("{}/late-2/x", NOW - 2)}).to_string();
    assert_eq!(pond.admin("/v1/late/users/accept", &one).await.ok(), json!({"done": 1}));
    assert_eq!(pond.admin("/v1/late/users/accept", &one).await.status.as_u16(), 404);
    assert_eq!(pond.get("/v1/views/users/a%2Fb").await.ok()["total"], 11);
    assert_eq!(pond.admin("/v1/late/users/drop", r#"{"key":"c"}"#).await.ok(), json!({"done": 2}));
    assert_eq!(pond.admin("/v1/late/users/drop", r#"{"key":"c"}"#).await.status.as_u16(), 404);
    assert_eq!(pond.admin("/v1/late/users/accept", r#"{"all":true}"#).await.ok(), json!({"done": 2}));
    assert_eq!(pond.admin("/v1/late/users/accept", r#"{"all":true}"#).await.ok(), json!({"done": 0}));
    assert_eq!(pond.get("/v1/views/users/a%2Fb").await.ok()["total"], 31);
}

#[tokio::test]
async fn the_quarantine_is_read_retried_and_let_go() {
    let pond = served(&[USERS]);
    // From the future by the clock of those who take it, not by that of those who ask again.
    let soon = created("soon", NOW + 305_000, "u", "A");
    pond.put("/v1/events", &["<html>\u{fffd}".into(), "{".into(), soon.clone(), "[]".into()]).await;
    let page = pond.get("/v1/quarantine/users?limit=3").await.ok();
    let next = page["next"].as_str().unwrap();
    assert_eq!(page["quarantine"][2]["id"], next);
    let rest = pond.get(&format!("/v1/quarantine/users?after={next}")).await.ok();
    let all: Vec<Value> =
        [&page, &rest].iter().flat_map(|page| page["quarantine"].as_array().unwrap().clone()).collect();
    let of = |reason: &str| all.iter().find(|entry| entry["reason"] == reason).unwrap_or_else(|| panic!("{all:?}"));
    let future = of("future");
    assert_eq!((&future["text"], &future["bytes"]), (&json!(soon), &json!(soon.len())));

    let id = future["id"].as_str().unwrap();
    let bytes = pond.get(&format!("/v1/quarantine/users/{id}")).await;
    assert_eq!((bytes.text(), bytes.header("content-type")), (&*soon, "application/octet-stream"));
    assert_eq!(bytes.header("x-content-type-options"), "nosniff");
    assert_eq!(pond.post(&format!("/v1/quarantine/users/{id}/retry")).await.ok(), json!({"left": 1, "stay": 0}));
    assert_eq!(pond.post(&format!("/v1/quarantine/users/{id}/retry")).await.status.as_u16(), 404);
    assert_eq!(pond.get("/v1/views/users/u").await.ok()["name"], "A");

    assert_eq!(pond.post("/v1/quarantine/users/retry").await.ok(), json!({"left": 0, "stay": 3}));
    let id = of("not-an-object")["id"].as_str().unwrap();
    assert_eq!(pond.ask("DELETE", &format!("/v1/quarantine/users/{id}"), &[], "").await.ok(), json!({"done": 1}));
    assert_eq!(pond.ask("DELETE", &format!("/v1/quarantine/users/{id}"), &[], "").await.status.as_u16(), 404);
    assert_eq!(pond.ask("DELETE", "/v1/quarantine/users", &[], "").await.ok(), json!({"done": 2}));
}

/// Sixteen of the largest bodies, of control characters, were one answer of 800 MB.
#[tokio::test]
async fn a_list_shows_the_beginning_of_a_large_entry_and_its_own_route_all_of_it() {
    const LARGE: usize = 300_000;
    let limits = Limits { body_bytes_max: 1 << 20, inflight_bytes_max: 8 << 20, ..super::LIMITS };
    let pond = served_with(&[USERS], limits, |_| {});
    let large: Vec<String> = (0..20).map(|n| format!("{n:02}{}", "\u{1}".repeat(LARGE - 2))).collect();
    for event in &large {
        pond.put("/v1/events", std::slice::from_ref(event)).await;
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = pond.get(&format!("/v1/quarantine/users?limit=1000{after}")).await;
        assert!(page.body.len() < 8 << 20, "{}", page.body.len());
        let page = page.ok();
        found.extend(page["quarantine"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(found.len(), 20);
    let entry = &found[7];
    assert_eq!((&entry["bytes"], &entry["truncated"]), (&json!(LARGE), &json!(true)));
    assert_eq!(entry["text"].as_str().unwrap().len(), 64 << 10);
    let whole = pond.get(&format!("/v1/quarantine/users/{}", entry["id"].as_str().unwrap())).await;
    assert!(large.iter().any(|event| event.as_bytes() == whole.body));
}

async fn put(pond: &super::Pond, path: &str, toml: &str) -> super::Answer {
    pond.ask("PUT", path, &[("content-type", "application/toml")], toml.to_owned()).await
}

#[tokio::test]
async fn joins_are_added_changed_and_removed() {
    let pond = served(&[USERS]);
    let new = put(&pond, "/v1/joins/orders", ORDERS).await;
    assert_eq!((new.status.as_u16(), new.json()), (201, json!({"name": "orders", "created": true})));
    assert_eq!(put(&pond, "/v1/joins/orders", ORDERS).await.ok()["created"], false);
    pond.put("/v1/events", &[paid("1", NOW, "u", "5")]).await;

    let changed = format!("{ORDERS}sum = {{ sum = \"amount\", of = \"paid\" }}\n");
    let refused = put(&pond, "/v1/joins/orders", &changed).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["type"]), (409, &json!("urn:millpond:definition-changed")));
    assert!(refused.text().contains("?rebuild=true"));
    let rebuilt = put(&pond, "/v1/joins/orders?rebuild=true", &changed).await.ok();
    assert_eq!(rebuilt["rebuilt"]["accepted"], 1);
    assert_eq!(pond.get("/v1/views/orders/o-1").await.ok()["sum"], 5);

    let info = pond.get("/v1/joins/orders").await.ok();
    assert_eq!(
        (&info["state"], &info["definition"], &info["types"]),
        (&json!("serving"), &json!(changed), &json!(["paid"]))
    );
    assert_eq!(pond.get("/v1/joins").await.ok()["joins"].as_array().unwrap().len(), 2);
    assert_eq!(pond.ask("DELETE", "/v1/joins/orders", &[], "").await.ok(), json!({"done": 1}));
    assert_eq!(pond.get("/v1/views/orders/o-1").await.status.as_u16(), 404);
    let again = put(&pond, "/v1/joins/orders", &changed).await;
    assert_eq!((again.status.as_u16(), &again.json()["created"]), (201, &json!(true)), "it was not served");
    assert_eq!(pond.get("/v1/views/orders/o-1").await.ok()["sum"], 5);
    pond.ask("DELETE", "/v1/joins/orders", &[], "").await.ok();
    pond.ask("DELETE", "/v1/joins/orders?data=delete", &[], "").await.ok();
    assert_eq!(put(&pond, "/v1/joins/orders", &changed).await.status.as_u16(), 201);
}

/// A changed default, and a join removed and made again, gave other documents the tag of the old ones.
#[tokio::test]
async fn another_definition_and_another_join_have_other_tags_and_editions() {
    let pond = served(&[USERS]);
    pond.put("/v1/events/users", &[paid("1", NOW, "u", "5")]).await;
    let mut reader = pond.follow("?from=start", "").await;
    reader.change().await;
    let mut known = pond.get("/v1/views/users/u").await.header("etag").to_owned();
    for (change, name) in [("default", "unnamed"), ("removed", "unnamed")] {
        let text = USERS.replace("default = \"?\"", &format!("default = \"{name}\""));
        if change == "removed" {
            pond.ask("DELETE", "/v1/joins/users?data=delete", &[], "").await.ok();
        }
        put(&pond, "/v1/joins/users", &text).await;
        pond.put("/v1/events/users", &[paid("1", NOW, "u", "5")]).await;
        let asked = pond.ask("GET", "/v1/views/users/u", &[("if-none-match", &known)], "").await;
        assert_eq!((asked.status.as_u16(), &asked.json()["name"]), (200, &json!(name)), "{change}");
        assert_ne!(asked.header("etag"), known, "{change}");
        known = asked.header("etag").to_owned();
        reader = pond.follow("", &reader.last_id).await;
        let told = reader.next().await.expect("the stream goes on");
        assert_eq!(told.0, "reset", "{change}: {told:?}");
        assert_eq!(reader.change().await.2["name"], name);
    }
}

#[tokio::test]
async fn the_newest_repeats_are_told_by_key() {
    let options = Options { duplicates_bytes_kept: 10_000, ..Options::default() };
    let pond = served_as(&[USERS], LIMITS, options, |_| {});
    let none = pond.get("/v1/duplicates/users").await.ok();
    assert_eq!(none, json!({"duplicates": [], "since": NOW}));
    let events = [paid("1", NOW, "u", "1"), paid("2", NOW, "v", "1")];
    for _ in 0..2 {
        pond.put("/v1/events/users", &events).await;
    }
    let entry = |key: &str, id: &str| json!({"key": key, "position": format!("{NOW}/{id}"), "received_at": NOW});
    let all = pond.get("/v1/duplicates/users").await.ok();
    assert_eq!(all["duplicates"], json!([entry("v", "2"), entry("u", "1")]));
    for path in ["/v1/duplicates/users?key=v", "/v1/duplicates/users?limit=1"] {
        assert_eq!(pond.get(path).await.ok()["duplicates"], json!([entry("v", "2")]), "{path}");
    }
    pond.ask("DELETE", "/v1/views/users/v", &[], "").await.ok();
    assert_eq!(pond.get("/v1/duplicates/users").await.ok()["duplicates"], json!([entry("u", "1")]));
}

#[tokio::test]
async fn a_definition_is_checked_without_storing_it() {
    let pond = served(&[USERS]);
    let check =
        async |toml: &str| pond.ask("POST", "/v1/check", &[("content-type", "text/plain")], toml.to_owned()).await;
    let told = check(ORDERS).await.ok();
    assert_eq!(told["keys"], json!([{"type": "paid", "paths": ["order"]}]));
    assert_eq!(told["fields"], json!([{"name": "payments", "fold": "count", "of": ["paid"]}]));
    let more = r#"first = { first = "amount", of = "paid", where = "event.amount > 9", default = { none = [1] } }
last = { list = "amount", of = "paid", last = 3 }
"#;
    let told = check(&format!("{ORDERS}{more}")).await.ok();
    assert_eq!(
        told["fields"][1],
        json!({"name": "first", "fold": "first", "of": ["paid"], "value": "amount", "where": "event.amount > 9", "default": {"none": [1]}})
    );
    assert_eq!(
        told["fields"][2],
        json!({"name": "last", "fold": "list", "of": ["paid"], "value": "amount", "bound": 3})
    );
    assert_eq!(pond.get("/v1/joins/orders").await.status.as_u16(), 404);
    let bad = check("name = \"x\"\n[key]\na = 1\n").await;
    assert_eq!(bad.status.as_u16(), 422);
    assert!(bad.json()["faults"][0]["line"].as_u64() >= Some(1), "{}", bad.text());
}

#[tokio::test]
async fn metrics_count_requests_and_joins() {
    let pond = served(&[USERS]);
    pond.put("/v1/events", &[paid("1", NOW, "u", "5"), "{".into()]).await;
    pond.get("/v1/views/users/nobody").await;
    pond.get("/nowhere").await;
    let metrics = pond.get("/metrics").await;
    for line in [
        "millpond_events_received_total{join=\"users\"} 2",
        "millpond_events_quarantined{join=\"users\"} 1",
        "millpond_keys{join=\"users\"} 1",
        "millpond_join_up{join=\"users\"} 1",
        "millpond_commit_events_total{join=\"users\"} 2",
        "millpond_http_requests_total{route=\"/v1/views/{join}/{key}\",method=\"GET\",status=\"404\"} 1",
        "millpond_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1",
        "millpond_http_request_seconds_count{route=\"/v1/events\"} 1",
        "millpond_http_body_bytes 0",
        "# EOF",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line} in\n{}", metrics.text());
    }
}

/// It was said to be ready, served and up, and refused everything.
#[tokio::test]
async fn a_join_whose_store_has_failed_is_said_to_be_stopped() {
    let pond = failed(&[USERS, ORDERS]).await;
    for refused in [pond.get("/v1/views/users/u").await, pond.admin("/v1/events/users", "{}").await] {
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "5"), "{}", refused.text());
        let dir = pond.dir.path().to_str().unwrap();
        assert!(!refused.text().contains(dir) && refused.text().contains("the server's log"), "{}", refused.text());
    }
    let ready = pond.get("/readyz").await;
    assert_eq!(ready.status.as_u16(), 503);
    assert!(ready.text().contains("users") && !ready.text().contains("orders"), "{}", ready.text());
    assert_eq!(pond.get("/v1/joins/users").await.ok()["state"], "stopped");
    assert_eq!(pond.get("/v1/joins/orders").await.ok()["state"], "serving");
    let metrics = pond.get("/metrics").await;
    for line in ["millpond_join_up{join=\"users\"} 0", "millpond_join_up{join=\"orders\"} 1"] {
        assert!(metrics.text().lines().any(|found| found == line), "{line} in\n{}", metrics.text());
    }
    assert!(!metrics.text().contains("millpond_events_accepted_total{join=\"users\"}"), "only what is durable counts");
}

/// Closing failed half-way: it was neither there nor gone.
#[tokio::test]
async fn a_join_whose_store_has_failed_can_be_deleted_and_made_anew() {
    let pond = failed(&[USERS]).await;
    pond.ask("DELETE", "/v1/joins/users?data=delete", &[], "").await.ok();
    assert_eq!(pond.ask("DELETE", "/v1/joins/users?data=delete", &[], "").await.status.as_u16(), 404);
    assert_eq!(put(&pond, "/v1/joins/users", USERS).await.status.as_u16(), 201);
    assert_eq!(pond.put("/v1/events/users", &[paid("1", NOW, "u", "5")]).await["accepted"], 1);
    assert_eq!(pond.get("/readyz").await.status.as_u16(), 200);
}
