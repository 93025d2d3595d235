//! Events in, and what became of each.

use serde_json::json;

use super::{NOW, ORDERS, USERS, created, paid, served, statuses, with_snapshot};

#[tokio::test]
async fn what_was_answered_is_read_at_once() {
    let pond = served(&[USERS]);
    for n in 1..=20 {
        let taken = pond.put("/v1/events", &[paid(&format!("{n}"), NOW + n, "u", "0.1")]).await;
        assert_eq!(statuses(&taken), ["accepted"]);
        let view = pond.get("/v1/views/users/u").await.ok();
        assert_eq!(view["total"].to_string(), format!("{}", json!(n as f64 / 10.0)).trim_end_matches(".0"));
    }
}

#[tokio::test]
async fn each_event_is_told_what_became_of_it() {
    let pond = served(&[USERS]);
    with_snapshot(&pond, "u").await;
    let future = created("f", NOW + 3_600_000, "u", "F");
    let events = [
        created("new", NOW + 1, "u", "B"),
        created("new", NOW + 1, "u", "B"),
        created("old", NOW - 5, "u", "C"),
        created("new", NOW + 1, "u", "another body"),
        r#"{"id":"x","type":"unknown","timestamp":1}"#.to_owned(),
        "{no json".to_owned(),
        "7".to_owned(),
        r#"{"id":"k","type":"created","timestamp":1}"#.to_owned(),
        future,
    ];
    let taken = pond.put("/v1/events/users", &events).await;
    assert_eq!(
        statuses(&taken),
        [
            "accepted",
            "duplicate",
            "late",
            "quarantined",
            "ignored",
            "quarantined",
            "quarantined",
            "quarantined",
            "quarantined"
        ]
    );
    let counts: Vec<u64> = ["received", "accepted", "duplicate", "late", "quarantined", "ignored"]
        .map(|count| taken[count].as_u64().unwrap())
        .to_vec();
    assert_eq!(counts, [9, 1, 1, 1, 5, 1]);
    for (event, reason, says) in [
        (3, "conflict", "ids must be unique"),
        (5, "invalid-json", ""),
        (6, "not-an-object", ""),
        (7, "invalid-key", "no key at `user`"),
        (8, "future", "ahead of the clock"),
    ] {
        let answer = &taken["events"][event];
        assert_eq!(answer["reason"], reason);
        assert!(answer["detail"].as_str().unwrap().contains(says), "{answer}");
    }
    let stats = pond.get("/v1/joins/users/stats").await.ok();
    assert_eq!((stats["received"].as_u64(), stats["conflicts"].as_u64()), (Some(11), Some(1)));
}

#[tokio::test]
async fn an_event_goes_to_all_its_joins_and_keys() {
    let pond = served(&[USERS, ORDERS]);
    let both = r#"{"id":"p","type":"paid","timestamp":5,"user":"a","payer":"b","order":"o","amount":1}"#.to_owned();
    let taken = pond.put("/v1/events", &[both.clone(), created("c", 6, "a", "A")]).await;
    assert_eq!(
        (taken["received"].as_u64(), taken["accepted"].as_u64(), taken["ignored"].as_u64()),
        (Some(5), Some(4), Some(1))
    );
    assert_eq!(taken["events"][0], json!({"status": "accepted"}));
    assert_eq!(
        taken["events"][1],
        json!({"status": "accepted", "placements": [
            {"join": "orders", "status": "ignored"}, {"join": "users", "status": "accepted"}
        ]})
    );
    for path in ["/v1/views/users/a", "/v1/views/users/b", "/v1/views/orders/o"] {
        pond.get(path).await.ok();
    }
    let again = pond.put("/v1/events", &[both]).await;
    assert_eq!((again["duplicate"].as_u64(), again["events"][0].clone()), (Some(3), json!({"status": "duplicate"})));
}

#[tokio::test]
async fn every_form_of_body_is_taken() {
    let pond = served(&[USERS]);
    let native = |id: &str| created(id, NOW, "u", "A");
    let cloud = |id: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"created","time":"2025-10-09T08:53:20Z","data":{{"user":"u","name":"é"}}}}"#
        )
    };
    for (count, content_type, body) in [
        (1, "application/json", native("1")),
        (2, "application/json; charset=utf-8", format!(" [{}, {}] ", native("2"), native("3"))),
        (2, "application/x-ndjson", format!("{}\r\n\n{}\n", native("4"), native("5"))),
        (1, "APPLICATION/NDJSON", native("6")),
        (1, "application/jsonl", native("7")),
        (1, "application/cloudevents+json", cloud("8")),
        (2, "application/cloudevents-batch+json", format!("[{},{}]", cloud("9"), cloud("10"))),
        (0, "application/json", "[]".into()),
        (0, "application/x-ndjson", String::new()),
    ] {
        let taken = pond.ask("POST", "/v1/events", &[("content-type", content_type)], body).await.ok();
        assert_eq!(
            (taken["accepted"].as_u64(), statuses(&taken).len()),
            (Some(count), count as usize),
            "{content_type}"
        );
    }
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "b%201"),
        ("ce-source", "/s"),
        ("ce-type", "created"),
        ("ce-time", "2025-10-09T08:53:21Z"),
        ("ce-tenant", "t"),
        ("content-type", "application/json"),
    ];
    let taken = pond.ask("POST", "/v1/events/users", &binary, r#"{"user":"u","name":"binary"}"#).await.ok();
    assert_eq!(statuses(&taken), ["accepted"], "{taken}");
    assert_eq!(pond.get("/v1/views/users/u").await.ok()["name"], "binary");
    let events = pond.get("/v1/views/users/u/events").await.ok();
    let stored = &events["events"].as_array().unwrap().last().unwrap()["event"];
    assert_eq!((stored["tenant"].clone(), stored["id"].clone()), (json!("t"), json!("b 1")));
}

#[tokio::test]
async fn a_join_that_does_not_answer_refuses_the_event_for_all() {
    let pond = served(&[USERS]);
    pond.service.stop().unwrap();
    let answer =
        pond.ask("POST", "/v1/events", &[("content-type", "application/json")], created("1", 1, "u", "A")).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"));
}
