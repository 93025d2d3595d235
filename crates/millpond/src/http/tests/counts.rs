//! What a join has counted: now, over the last hour, and of its keys.

use serde_json::{Value, json};

use super::{LATER, Limits, NOW, USERS, created, paid, served, served_with};

#[tokio::test]
async fn stats_tell_disorder_from_news_and_how_new_it_is() {
    let pond = served(&[USERS]);
    let before = pond.get("/v1/joins/users/stats").await.ok();
    assert_eq!((&before["at"], before.get("newest_at")), (&json!(LATER), None));
    let is_absent = |metrics: &str| !metrics.contains("millpond_newest_event_timestamp_seconds{");
    assert!(is_absent(pond.get("/metrics").await.text()));
    let events = [paid("1", NOW + 1_500, "u", "1"), paid("2", NOW, "u", "1"), paid("2", NOW, "u", "1")];
    pond.put("/v1/events", &events).await;
    let stats = pond.get("/v1/joins/users/stats").await.ok();
    assert_eq!((&stats["fast"], &stats["looked_up"], &stats["newest_at"]), (&json!(1), &json!(2), &json!(NOW + 1_500)));
    let metrics = pond.get("/metrics").await;
    for line in [
        "millpond_rows_fast_total{join=\"users\"} 1",
        "millpond_rows_looked_up_total{join=\"users\"} 2",
        "millpond_newest_event_timestamp_seconds{join=\"users\"} 1760000001.5",
    ] {
        assert!(metrics.text().lines().any(|known| known == line), "{line}\n{}", metrics.text());
    }
}

#[tokio::test]
async fn the_first_sample_is_there_at_once_and_columns_are_of_one_length() {
    let pond = served(&[USERS]);
    pond.put("/v1/events", &[paid("1", NOW, "u", "1")]).await;
    let samples = pond.get("/v1/joins/users/samples").await.ok();
    assert_eq!((&samples["every_ms"], &samples["at"]), (&json!(10_000), &json!([NOW])));
    assert_eq!((&samples["received"], &samples["newest_at"]), (&json!([0]), &json!([null])), "it was before the event");
    assert!(samples["disk_bytes"][0].as_u64() > Some(0));
    let stats = pond.get("/v1/joins/users/stats").await.ok();
    for (name, column) in samples.as_object().unwrap().iter().filter(|(name, _)| *name != "every_ms") {
        assert_eq!(column.as_array().map(Vec::len), Some(1), "{name}");
        assert!(stats.get(name).is_some(), "{name} is none of the stats");
    }
    let later = pond.get(&format!("/v1/joins/users/samples?after={NOW}")).await.ok();
    assert_eq!((&later["at"], &later["keys"]), (&json!([]), &json!([])));
    let all = pond.get("/v1/joins/users/samples?after=2025-10-09T08:53:19Z").await.ok();
    assert_eq!(all["at"], json!([NOW]));
}

#[tokio::test]
async fn tails_are_told_by_their_lengths() {
    let pond = served(&[USERS]);
    let nobody = pond.get("/v1/joins/users/tails").await.ok();
    assert_eq!(nobody, json!({"keys": 0, "events": 0, "buckets": []}));
    let events: Vec<String> = [("a", 1), ("b", 5), ("c", 2), ("d", 5)]
        .into_iter()
        .flat_map(|(key, count)| (0..count).map(move |n| paid(&format!("{key}{n}"), NOW + n, key, "1")))
        .collect();
    pond.put("/v1/events/users", &events).await;
    pond.post("/v1/views/users/a/snapshot").await.ok();
    let bucket = |up_to: u64, keys: u64| json!({"up_to": up_to, "keys": keys});
    let all = pond.get("/v1/joins/users/tails").await.ok();
    assert_eq!(
        (&all["keys"], &all["events"], &all["longest"]),
        (&json!(4), &json!(12), &json!({"key": "b", "events": 5}))
    );
    assert_eq!(all["buckets"], json!([bucket(0, 1), bucket(1, 0), bucket(3, 1), bucket(7, 2)]));
    let rest = pond.get("/v1/joins/users/tails?after=b").await.ok();
    assert_eq!((&rest["keys"], &rest["longest"]["key"]), (&json!(2), &json!("d")));
}

#[tokio::test]
async fn tails_of_many_keys_come_in_several_answers() {
    const KEYS: u64 = 10_003;
    let limits = Limits { body_bytes_max: 4 << 20, events_max: 20_000, inflight_bytes_max: 8 << 20 };
    let pond = served_with(&[USERS], limits, |_| {});
    let events: Vec<String> = (0..KEYS).map(|n| created(&format!("{n}"), NOW, &format!("u{n:05}"), "A")).collect();
    pond.put("/v1/events/users", &events).await;
    let first = pond.get("/v1/joins/users/tails").await.ok();
    assert_eq!((&first["keys"], &first["next"]), (&json!(10_000), &json!("u09999")));
    let rest: Value = pond.get("/v1/joins/users/tails?after=u09999").await.ok();
    assert_eq!((&rest["keys"], rest.get("next")), (&json!(3), None));
    let last = pond.get("/v1/joins/users/tails?after=u00002").await.ok();
    assert_eq!((&last["keys"], last.get("next")), (&json!(10_000), None));
}
