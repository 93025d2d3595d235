//! Previews: what a definition would make of some events.

use serde_json::{Value, json};

use super::{LATER, NOW, Pond, USERS, created, paid, served};

async fn preview(pond: &Pond, definition: &str, events: &str) -> Value {
    let asked = json!({"definition": definition, "events": events}).to_string();
    pond.admin("/v1/preview", &asked).await.ok()
}

/// Everything that can become of an event of an open history.
fn events() -> Vec<String> {
    vec![
        created("1", NOW + 5, "u", "B"),
        created("2", NOW, "u", "A"),
        r#"{"id":"3","type":"paid","timestamp":1,"user":"u","payer":"v","amount":1.50}"#.to_owned(),
        created("1", NOW + 5, "u", "B"),
        created("1", NOW + 5, "u", "another body"),
        paid("f", LATER + 3_600_000, "u", "1"),
        r#"{"id":"x","type":"unknown","timestamp":1}"#.to_owned(),
        "no event".to_owned(),
        r#"{"id":"k","type":"created","timestamp":1}"#.to_owned(),
    ]
}

#[tokio::test]
async fn a_preview_is_what_the_join_would_make() {
    let pond = served(&[USERS]);
    let events = events();
    let previewed = preview(&pond, USERS, &events.join("\n")).await;
    let stored = pond.get("/v1/joins/users/stats").await.ok();
    assert_eq!((&stored["received"], &stored["keys"]), (&json!(0), &json!(0)), "nothing is stored");
    let taken = pond.put("/v1/events/users", &events).await;
    for count in ["received", "accepted", "duplicate", "late", "quarantined", "ignored"] {
        assert_eq!(previewed[count], taken[count], "{count}");
    }
    for (n, (previewed, taken)) in
        previewed["events"].as_array().unwrap().iter().zip(taken["events"].as_array().unwrap()).enumerate()
    {
        for member in ["status", "reason", "detail"] {
            // The join's store commits by another clock than the answers'.
            if n != 5 || member != "detail" {
                assert_eq!(previewed.get(member), taken.get(member), "event {n}");
            }
        }
    }
    let keys: Vec<&Value> = previewed["events"].as_array().unwrap().iter().map(|event| &event["keys"]).collect();
    assert_eq!(keys[2..=5], [&json!(["u", "v"]), &json!(["u"]), &json!(["u"]), &json!([])]);
    let views = pond.get("/v1/views/users").await.ok();
    let plain = |view: &Value| json!({"key": view["key"], "document": view["document"]});
    let views: Vec<Value> = views["views"].as_array().unwrap().iter().map(plain).collect();
    assert_eq!(previewed["views"], Value::from(views));
    assert_eq!(previewed["join"], pond.get("/v1/joins/users").await.ok());
}

#[tokio::test]
async fn events_may_be_lines_an_array_or_one() {
    let pond = served(&[]);
    let (one, other) = (created("1", 1, "u", "A"), created("2", 2, "v", "B"));
    for (events, count) in [
        (format!("{one}\n\n{other}\n"), 2),
        (format!(" [{one},\n{other}] "), 2),
        (one.replace(",\"", ",\n  \""), 1),
        (String::new(), 0),
    ] {
        let made = preview(&pond, USERS, &events).await;
        assert_eq!((&made["accepted"], made["views"].as_array().unwrap().len()), (&json!(count), count), "{events}");
    }
}
