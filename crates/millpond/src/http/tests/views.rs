//! Views: one, lists, as of a time, explanations, history, upkeep and erasure.

use serde_json::{Value, json};

use super::{LATER, NOW, ORDERS, USERS, created, paid, served, with_snapshot};

#[tokio::test]
async fn the_version_is_the_tag() {
    let pond = served(&[USERS]);
    pond.put("/v1/events", &[created("1", NOW, "u", "A")]).await;
    let first = pond.get("/v1/views/users/u").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && first.text() == r#"{"id":"u","name":"A","total":0}"#);
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
        let same = pond.ask("GET", "/v1/views/users/u", &[("if-none-match", &known)], "").await;
        assert_eq!((same.status.as_u16(), same.body.len(), same.header("etag")), (304, 0, tag.as_str()));
    }
    pond.put("/v1/events", &[created("2", NOW + 1, "u", "B")]).await;
    let changed = pond.ask("GET", "/v1/views/users/u", &[("if-none-match", &tag)], "").await;
    assert_eq!((changed.status.as_u16(), &changed.json()["name"]), (200, &json!("B")));
    let head = pond.ask("HEAD", "/v1/views/users/u", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len(), head.header("etag")), (200, 0, changed.header("etag")));
}

fn keys(page: &Value) -> Vec<&str> {
    page["views"].as_array().unwrap().iter().map(|view| view["key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pages_hold_every_view_once() {
    let pond = served(&[USERS]);
    let events: Vec<String> =
        (0..25).map(|n| paid(&format!("{n}"), NOW, &format!("u/{n:02}"), &n.to_string())).collect();
    pond.put("/v1/events", &events).await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = pond.get(&format!("/v1/views/users?prefix=u%2F&limit=7{after}")).await.ok();
        found.extend(keys(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", next.replace('/', "%2F")),
            None => break,
        }
    }
    let all: Vec<String> = (0..25).map(|n| format!("u/{n:02}")).collect();
    assert_eq!(found, all);
    let exact = pond.get("/v1/views/users?limit=25").await.ok();
    assert!(exact.get("next").is_none() && exact["views"][3]["version"].as_u64() > Some(0));
    assert!(keys(&pond.get("/v1/views/users?prefix=v").await.ok()).is_empty());
    let some = pond.get("/v1/views/users?where=total%3E3&where=total%3C%3D5&where=name=?").await.ok();
    assert_eq!(keys(&some), ["u/04", "u/05"]);
    let lines = pond.ask("GET", "/v1/views/users?where=total%3C20", &[("accept", "application/x-ndjson")], "").await;
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[19]["document"]["total"]), (20, &json!(19)));
    let slash = pond.get("/v1/views/users/u%2F07").await.ok();
    assert_eq!(slash["id"], "u/07");
}

#[tokio::test]
async fn a_view_is_told_as_of_a_time() {
    let pond = served(&[USERS]);
    with_snapshot(&pond, "u").await;
    pond.put("/v1/events", &[paid("third", NOW + 60_000, "u", "2")]).await;
    let total = async |at: &str| pond.get(&format!("/v1/views/users/u?at={at}")).await.ok()["total"].clone();
    assert_eq!(total(&(NOW + 60_000).to_string()).await, 3);
    assert_eq!(total(&(NOW + 59_999).to_string()).await, 1);
    assert_eq!(total("2025-10-09T08:54:20Z").await, 3);
    assert_eq!(pond.get(&format!("/v1/views/users/u?at={}", NOW - 1)).await.status.as_u16(), 404);
    pond.post("/v1/views/users/u/trim").await.ok();
    let gone = pond.get(&format!("/v1/views/users/u?at={}", NOW - 1)).await;
    assert_eq!((gone.status.as_u16(), gone.json()["type"].clone()), (409, json!("urn:millpond:before-snapshot")));
    assert!(gone.json()["detail"].as_str().unwrap().contains(&NOW.to_string()));
}

#[tokio::test]
async fn a_view_is_explained_by_its_snapshot_and_its_events() {
    let pond = served(&[USERS]);
    with_snapshot(&pond, "u").await;
    pond.put("/v1/events", &[paid("third", NOW + 60_000, "u", "2")]).await;
    let told = pond.get("/v1/views/users/u?explain").await.ok();
    assert_eq!((&told["events"], &told["tail"], &told["snapshot"]["closed_at"]), (&json!(3), &json!(1), &json!(LATER)));
    let total = &told["fields"][1];
    assert_eq!(
        (&total["field"], &total["value"], &total["snapshot"]["value"]),
        (&json!("total"), &json!(3), &json!(1))
    );
    assert_eq!(total["events"][0], json!({"timestamp": NOW + 60_000, "id": "third", "type": "paid", "gives": 2}));
}

#[tokio::test]
async fn one_field_is_explained_by_its_newest_events() {
    let pond = served(&[USERS]);
    let events: Vec<String> = (1..=9).map(|n| paid(&format!("e{n}"), NOW + n, "u", "1")).collect();
    pond.put("/v1/events/users", &events).await;
    let told = pond.get("/v1/views/users/u?explain&field=total&limit=2").await.ok();
    let fields = told["fields"].as_array().unwrap();
    assert_eq!((fields.len(), &fields[0]["field"], &told["tail"]), (1, &json!("total"), &json!(9)));
    let ids: Vec<&str> = fields[0]["events"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!((ids.as_slice(), &fields[0]["shows"]), (["e8", "e9"].as_slice(), &json!(9)));
    let all = pond.get("/v1/views/users/u?explain").await.ok();
    assert_eq!((all["fields"][1]["events"].as_array().unwrap().len(), &all["fields"][0]["shows"]), (9, &json!(0)));
}

#[tokio::test]
async fn history_is_told_from_its_end_too() {
    let pond = served(&[USERS]);
    let events: Vec<String> = (10..50).map(|n| paid(&format!("e{n}"), NOW + n, "u", "1")).collect();
    pond.put("/v1/events/users", &events).await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = pond.get(&format!("/v1/views/users/u/events?order=newest&limit=17{after}")).await.ok();
        found.extend(page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let all: Vec<String> = (10..50).rev().map(|n| format!("e{n}")).collect();
    assert_eq!(found, all);
    let oldest = pond.get("/v1/views/users/u/events?order=oldest&limit=1").await.ok();
    assert_eq!(oldest["events"][0]["id"], "e10");
}

#[tokio::test]
async fn history_is_told_in_pages_and_says_what_is_gone() {
    let pond = served(&[USERS]);
    with_snapshot(&pond, "u").await;
    let events: Vec<String> = (1..=20).map(|n| paid(&format!("e{n:02}"), NOW + n, "u", "1")).collect();
    pond.put("/v1/events", &events).await;
    let first = pond.get("/v1/views/users/u/events?limit=3").await.ok();
    assert_eq!((&first["trimmed"], first["events"].as_array().unwrap().len()), (&json!(0), 3));
    assert_eq!((&first["events"][0]["in_snapshot"], &first["events"][2]["in_snapshot"]), (&json!(true), &json!(false)));
    let next = first["next"].as_str().unwrap();
    assert_eq!(next, format!("{}/e01", NOW + 1));
    let rest = pond.get(&format!("/v1/views/users/u/events?after={next}")).await.ok();
    assert_eq!((rest["events"].as_array().unwrap().len(), rest.get("next")), (19, None));
    assert_eq!(pond.post("/v1/views/users/u/trim").await.ok(), json!({"trimmed": 2}));
    let after = pond.get("/v1/views/users/u/events").await.ok();
    assert_eq!((&after["trimmed"], after["events"].as_array().unwrap().len()), (&json!(2), 20));
}

#[tokio::test]
async fn a_whole_join_is_snapshotted_trimmed_and_verified() {
    let pond = served(&[USERS]);
    let events: Vec<String> = (0..150).map(|n| paid(&format!("{n}"), NOW, &format!("u{n}"), "1")).collect();
    pond.put("/v1/events", &events).await;
    assert_eq!(pond.post("/v1/joins/users/snapshot").await.ok(), json!({"done": 150}));
    assert_eq!(pond.post("/v1/joins/users/snapshot").await.ok(), json!({"done": 0}));
    assert_eq!(pond.post("/v1/joins/users/trim").await.ok(), json!({"done": 150}));
    let verified = pond.post("/v1/joins/users/verify").await.ok();
    assert_eq!((&verified["keys"], &verified["differences"]), (&json!(150), &json!(0)));
}

#[tokio::test]
async fn an_erased_key_is_gone_and_its_neighbours_stay() {
    let pond = served(&[USERS]);
    with_snapshot(&pond, "u").await;
    pond.put("/v1/events", &[paid("x", NOW, "v", "1")]).await;
    let gone = pond.ask("DELETE", "/v1/views/users/u", &[], "").await.ok();
    assert_eq!((&gone["view"], &gone["snapshot"], &gone["events"]), (&json!(true), &json!(true), &json!(2)));
    for path in ["/v1/views/users/u", "/v1/views/users/u/events", "/v1/views/users/u?explain"] {
        assert_eq!(pond.get(path).await.status.as_u16(), 404, "{path}");
    }
    assert_eq!(pond.ask("DELETE", "/v1/views/users/u", &[], "").await.status.as_u16(), 404);
    pond.get("/v1/views/users/v").await.ok();
}

/// Names come from strangers: none leads anywhere but to a join of that name, and a key of its own.
#[tokio::test]
async fn no_name_reaches_outside_its_join() {
    let pond = served(&[USERS, ORDERS]);
    pond.put("/v1/events/users", &[created("1", NOW, "u", "A"), created("2", NOW, "../orders/o", "B")]).await;
    std::fs::write(pond.dir.path().join("secret"), "secret").unwrap();
    for join in ["..", "%2e%2e", "%2E%2E%2Fusers", "%2Fetc%2Fpasswd", "users%2Fu", "users%00", "secret", "USERS", "."] {
        for (method, rest) in [("GET", "/u"), ("GET", ""), ("DELETE", "/u")] {
            let answer = pond.ask(method, &format!("/v1/views/{join}{rest}"), &[], "").await;
            assert!(matches!(answer.status.as_u16(), 400 | 404 | 405), "{method} {join}{rest}: {answer:?}");
        }
        let answer = pond.ask("DELETE", &format!("/v1/joins/{join}?data=delete"), &[], "").await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{join}: {answer:?}");
    }
    for key in ["..", "%2e%2e", "%2Fetc%2Fpasswd", "..%2Forders%2Fsecret", "o-1"] {
        assert_eq!(pond.get(&format!("/v1/views/users/{key}")).await.status.as_u16(), 404, "{key}");
    }
    assert_eq!(pond.get("/v1/views/users/..%2Forders%2Fo").await.ok()["name"], "B");
    assert_eq!(pond.get("/v1/views/orders/u").await.status.as_u16(), 404);
    assert!(pond.dir.path().join("secret").exists() && pond.dir.path().join("users").exists());
}
