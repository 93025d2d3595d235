//! Faults of the pattern's reference implementation, each as a story that must end well through the
//! functions on AWS. Each opens with what the reference did.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::time::Duration;

use millpond_aws::handlers::Snapshots;
use millpond_aws::meter::Metric;
use millpond_aws_testkit::fake::{EVENTS, Faults, VIEW};
use millpond_aws_testkit::world::{DAY, HOUR, T, WEEK, World, now as world_now};
use millpond_core::Position;
use millpond_core::event::EVENT_BYTES_MAX;
use millpond_core::store::{Row, Store};
use millpond_testkit::mapping::Mapping;
use serde_json::{Value, json};

const DEFINITION: &str = include_str!("../../../examples/user-activity/join.toml");

fn created(id: &str, at: u64, name: &str) -> String {
    json!({"id": id, "type": "user-created", "timestamp": at, "user": {"id": "u1", "name": name}}).to_string()
}

fn login(id: &str, at: u64) -> String {
    json!({"id": id, "type": "user-loggedIn", "timestamp": at, "user": {"id": "u1"}}).to_string()
}

fn order(id: &str, at: u64) -> String {
    json!({"id": id, "type": "order-submitted", "timestamp": at, "order": {"userId": "u1"}}).to_string()
}

fn users() -> World {
    World::new(DEFINITION)
}

/// Each record once, in order.
fn kind() -> Mapping {
    Mapping { again_percent: 0, ..Mapping::default() }
}

async fn send(world: &World, texts: &[String]) {
    world.put(texts);
    world.settle(&kind()).await;
}

async fn shows(world: &World, name: &str, last_login: u64, orders: u64) {
    let expected = format!(r#"{{"id":"u1","name":"{name}","lastLogin":{last_login},"recentOrderCount":{orders}}}"#);
    assert_eq!(world.document("u1").await.unwrap(), expected);
    assert_eq!(world.differences("u1").await, 0);
}

async fn by_hand(world: &World, function: &str) -> Value {
    world.invoke(function, &json!({"key": "u1"})).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_sample_events_of_the_pattern_make_its_views() {
    let world = users();
    world.invoke("command", &json!({"sample": "seed"})).await.unwrap();
    world.settle(&kind()).await;
    let first = world.document("user-1").await.unwrap();
    assert_eq!(first, format!(r#"{{"id":"user-1","name":"Fred User","lastLogin":{T},"recentOrderCount":1}}"#));
    let second = world.document("user-2").await.unwrap();
    assert_eq!(second, format!(r#"{{"id":"user-2","name":"**NOT SET**","lastLogin":{T},"recentOrderCount":0}}"#));
    world.at(T + 5);
    world.invoke("command", &json!({"sample": "login"})).await.unwrap();
    world.invoke("command", &json!({"sample": "order"})).await.unwrap();
    world.settle(&kind()).await;
    let after = world.document("user-1").await.unwrap();
    assert_eq!(after, format!(r#"{{"id":"user-1","name":"Fred User","lastLogin":{},"recentOrderCount":2}}"#, T + 5));
}

/// Query not paged: 80 orders show as 52, for ever.
#[tokio::test(start_paused = true)]
async fn a_key_with_more_than_a_page_of_events_counts_all_of_them() {
    let world = users();
    let note = "x".repeat(60_000);
    let large = |n: u64| order(&format!("o{n:02}"), T + n).replacen('{', &format!("{{\"note\":\"{note}\","), 1);
    let orders: Vec<String> = (0..80).map(large).collect();
    world.put(&orders);
    world.consume(&kind()).await;
    by_hand(&world, "trigger").await;
    shows(&world, "**NOT SET**", 0, 80).await;
    assert!(world.aws.state().calls.iter().filter(|call| call.operation == "Query").count() > 4, "pages of 1 MB");
}

/// A snapshot whose question for a trim was lost never got one.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_could_not_ask_for_its_trim_asks_again() {
    let mut world = users();
    world.patience = Duration::from_millis(300);
    let mut asked = 0;
    for seed in 0..40 {
        let id = format!("o{seed}");
        send(&world, &[order(&id, world_now())]).await;
        world.at(world_now() + WEEK + HOUR);
        world.aws.faults(Faults { refused: 60, ..Faults::default() }, seed);
        let first = world.invoke("snapshot", &json!({"key": "u1"})).await;
        world.aws.faults(Faults::default(), 0);
        if first.is_err() {
            asked += 1;
            by_hand(&world, "snapshot").await;
        }
        assert!(!world.queue("trim").is_empty(), "{seed}: {first:?}");
        world.drain("trim").await;
        assert_eq!(world.rows(EVENTS).await, 0, "{seed}");
    }
    assert!(asked > 5);
    shows(&world, "**NOT SET**", 0, 40).await;
}

/// A trim of more than 25 rows is refused as a whole; unprocessed items are ignored.
#[tokio::test(start_paused = true)]
async fn a_trim_deletes_all_covered_rows_however_many_and_however_often_it_takes() {
    let world = users();
    send(&world, &(0..130).map(|n| order(&format!("o{n:03}"), T + n)).collect::<Vec<_>>()).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot").await;
    world.aws.faults(Faults { partly: 40, ..Faults::default() }, 3);
    world.drain("trim").await;
    assert_eq!(world.meter.get(Metric::Trimmed), 130.0);
    world.aws.faults(Faults::default(), 0);
    assert_eq!(world.rows(EVENTS).await, 0);
    shows(&world, "**NOT SET**", 0, 130).await;
}

/// A producer's retry gives one event two sequence numbers: the reference counts it twice.
#[tokio::test(start_paused = true)]
async fn a_producers_retry_counts_once() {
    let world = users();
    send(&world, &[order("o1", T), order("o1", T), order("o2", T + 1), order("o1", T)]).await;
    send(&world, &[order("o2", T + 1)]).await;
    shows(&world, "**NOT SET**", 0, 2).await;
    assert_eq!(world.meter.get(Metric::Duplicate), 3.0);
}

/// Newer events with lower sequence numbers than a snapshotted one, as two shards give them, are
/// lost and then trimmed.
#[tokio::test(start_paused = true)]
async fn an_event_that_comes_after_a_snapshot_of_its_elders_counts() {
    let world = users();
    send(&world, &[order("o1", T), login("l1", T + 1)]).await;
    world.at(T + WEEK + 2 * HOUR);
    by_hand(&world, "snapshot").await;
    send(&world, &[order("o2", T + 3 * HOUR)]).await;
    by_hand(&world, "trim").await;
    shows(&world, "**NOT SET**", T + 1, 2).await;
}

/// The batch blocks, and innocent keys miss their events.
#[tokio::test(start_paused = true)]
async fn poison_goes_to_quarantine_whole_and_its_neighbours_go_on() {
    let world = users();
    let poison: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"null".to_vec(),
        vec![0xff, 0xfe, 0],
        json!({"id": "p1", "type": "order-submitted", "timestamp": T}).to_string().into_bytes(),
        json!({"id": "", "type": "user-loggedIn", "timestamp": T, "user": {"id": "u1"}}).to_string().into_bytes(),
        json!({"id": 7, "type": "user-loggedIn", "timestamp": T, "user": {"id": "u1"}}).to_string().into_bytes(),
        json!({"id": "p2", "type": "user-loggedIn", "user": {"id": "u1"}}).to_string().into_bytes(),
        json!({"id": "p3", "type": "user-loggedIn", "timestamp": T + DAY, "user": {"id": "u1"}})
            .to_string()
            .into_bytes(),
        order("large", T).replacen('{', &format!("{{\"note\":\"{}\",", "x".repeat(EVENT_BYTES_MAX)), 1).into_bytes(),
    ];
    for (n, bytes) in poison.iter().enumerate() {
        world.put([order(&format!("o{n}"), T + n as u64).into_bytes(), bytes.clone()]);
    }
    world.settle(&kind()).await;
    shows(&world, "**NOT SET**", 0, poison.len() as u64).await;
    let kept = world.queue("quarantine");
    assert_eq!((kept.len(), world.meter.get(Metric::Quarantined)), (poison.len(), poison.len() as f64));
    assert_eq!(kept.iter().filter(|message| message["object"].is_string()).count(), 1, "one is too large for a queue");
    assert_eq!(world.aws.state().objects.len(), 1);
    assert!(kept.iter().any(|message| message["base64"] == "//4A"), "what is no text is kept as it was");
    assert!(world.given_up.lock().unwrap().is_empty());
}

/// A trigger that meets a created event without a name, or a key without one, blocks for ever.
#[tokio::test(start_paused = true)]
async fn what_an_event_does_not_have_is_a_default() {
    let world = users();
    let nameless = json!({"id": "c1", "type": "user-created", "timestamp": T, "user": {"id": "u1"}}).to_string();
    send(&world, &[nameless, order("o1", T + 1)]).await;
    shows(&world, "**NOT SET**", 0, 1).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot").await;
    send(&world, &[created("c2", T + DAY, "Fred")]).await;
    shows(&world, "Fred", 0, 1).await;
}

/// A snapshot before the view's row exists is a TypeError.
#[tokio::test(start_paused = true)]
async fn a_snapshot_without_a_view_makes_it_or_does_nothing() {
    let world = users();
    assert_eq!(by_hand(&world, "snapshot").await[0]["closed"], false);
    world.put([order("o1", T)]);
    world.consume(&kind()).await;
    world.at(T + WEEK + HOUR);
    assert_eq!(by_hand(&world, "snapshot").await[0]["events"], 1);
    shows(&world, "**NOT SET**", 0, 1).await;
}

/// Two snapshots race, then a trim: 3 instead of 4. A stale view read after a trim shows defaults.
#[tokio::test(start_paused = true)]
async fn snapshots_triggers_and_trims_that_race_lose_nothing() {
    for seed in 0..40 {
        let world = users();
        world.seeded(seed);
        send(&world, &(0..3).map(|n| order(&format!("o{n}"), T + n)).collect::<Vec<_>>()).await;
        world.at(T + WEEK + HOUR);
        world.put([order("o3", T + DAY), order("o4", T + 2 * DAY)]);
        let kind = kind();
        let (_, first, second, trimmed) = tokio::join!(
            world.settle(&kind),
            by_hand(&world, "snapshot"),
            by_hand(&world, "snapshot"),
            by_hand(&world, "trim"),
        );
        assert!(first[0]["events"] == 3 && second[0]["events"] == 3, "{first} {second} {trimmed}");
        world.drain("trim").await;
        shows(&world, "**NOT SET**", 0, 5).await;
    }
}

/// Records that PutRecords did not take are reported as put.
#[tokio::test(start_paused = true)]
async fn records_that_the_stream_did_not_take_are_put_again_or_reported() {
    let mut world = users();
    world.aws.faults(Faults { partly: 50, ..Faults::default() }, 5);
    let events: Vec<Value> =
        (0..200).map(|n| serde_json::from_str(&order(&format!("o{n:03}"), T + n)).unwrap()).collect();
    let answer = world.invoke("command", &json!({"events": events})).await.unwrap();
    assert_eq!((&answer["put"], world.aws.state().stream.len()), (&json!(200), 200));
    world.aws.faults(Faults::default(), 0);
    world.settle(&kind()).await;
    shows(&world, "**NOT SET**", 0, 200).await;

    world.aws.faults(Faults { partly: 100, ..Faults::default() }, 5);
    world.patience = Duration::from_millis(500);
    let refused = world.invoke("command", &json!({"sample": "seed"})).await.unwrap_err().to_string();
    assert!(refused.contains("kinesis:PutRecords: not done") && refused.contains("4 record(s)"), "{refused}");
}

/// A snapshot alone saves no reads: the query has no lower bound.
#[tokio::test(start_paused = true)]
async fn what_a_snapshot_holds_is_not_read_again() {
    let world = users();
    send(&world, &(0..90).map(|n| order(&format!("o{n:02}"), T + n)).collect::<Vec<_>>()).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot").await;
    send(&world, &[order("p2", T + 2 * DAY)]).await;
    world.aws.state().calls.clear();
    // It comes before the one that is folded: its tail is folded anew.
    send(&world, &[order("p1", T + DAY)]).await;
    let read = world.aws.state().calls.iter().filter(|call| call.operation == "Query").map(|call| call.items).sum();
    assert_eq!((world.rows(EVENTS).await, read), (92, 2_usize), "nothing is trimmed, and only the tail is read");
    shows(&world, "**NOT SET**", 0, 92).await;
}

/// An older login after a newer one: lastLogin goes back.
#[tokio::test(start_paused = true)]
async fn an_older_login_does_not_turn_the_last_login_back() {
    let world = users();
    send(&world, &[login("l2", T + HOUR)]).await;
    world.at(T + HOUR);
    send(&world, &[login("l2", T + HOUR)]).await;
    send(&world, &[login("l1", T)]).await;
    shows(&world, "**NOT SET**", T + HOUR, 0).await;
}

/// 100 change records of one key in a batch: 100 queries, 10,099 items read, 100 writes.
#[tokio::test(start_paused = true)]
async fn a_batch_of_one_key_is_one_read_and_one_write() {
    let world = users();
    send(&world, &(0..100).map(|n| order(&format!("o{n:03}"), T + n)).collect::<Vec<_>>()).await;
    world.at(T + 1000);
    world.put((100..200).map(|n| order(&format!("o{n:03}"), T + n)));
    world.consume(&kind()).await;
    let changes: Vec<Value> = world.aws.state().changes[100..].to_vec();
    world.aws.state().calls.clear();
    world.invoke("trigger", &json!({"Records": changes})).await.unwrap();
    let calls = world.aws.state().calls.clone();
    let calls: Vec<(&str, &str)> = calls.iter().map(|call| (&*call.operation, &*call.table)).collect();
    assert_eq!(calls, [("GetItem", VIEW), ("PutItem", VIEW)]);
    shows(&world, "**NOT SET**", 0, 200).await;
}

/// A trim's deletions wake the trigger once each; the filter keeps them out, and so does the code.
#[tokio::test(start_paused = true)]
async fn what_a_trim_deletes_wakes_nobody() {
    let world = users();
    send(&world, &[order("o1", T), order("o2", T + 1)]).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot").await;
    by_hand(&world, "trim").await;
    let removed: Vec<Value> =
        world.aws.state().changes.iter().filter(|change| change["eventName"] == "REMOVE").cloned().collect();
    assert_eq!(removed.len(), 2);
    world.aws.state().calls.clear();
    let answer = world.invoke("trigger", &json!({"Records": removed})).await.unwrap();
    assert_eq!((answer, world.aws.state().calls.len()), (json!({"batchItemFailures": []}), 0));
}

/// A consumer that is replayed after a trim brings rows back.
#[tokio::test(start_paused = true)]
async fn a_replay_after_a_trim_is_late_and_never_counted() {
    let world = users();
    let orders = [order("o1", T), order("o2", T + 1)];
    send(&world, &orders).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot").await;
    by_hand(&world, "trim").await;
    send(&world, &orders).await;
    shows(&world, "**NOT SET**", 0, 2).await;
    let late = world.queue("late");
    assert_eq!((late.len(), late[0]["key"].as_str()), (2, Some("u1")));
    assert_eq!(late[0]["event"], orders[0]);
}

/// An unknown type is dropped without a word.
#[tokio::test(start_paused = true)]
async fn an_event_of_another_type_is_counted_as_ignored() {
    let world = users();
    send(&world, &[json!({"id": "x", "type": "other", "timestamp": T}).to_string(), order("o1", T)]).await;
    assert_eq!((world.meter.get(Metric::Ignored), world.meter.get(Metric::Accepted)), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_kept_in_quarantine() {
    let world = users();
    let other = order("o1", T).replacen('{', "{\"note\":1,", 1);
    send(&world, &[order("o1", T), other.clone()]).await;
    let kept = world.queue("quarantine");
    assert_eq!((kept[0]["reason"].as_str(), kept[0]["text"].as_str()), (Some("conflict"), Some(&*other)));
    shows(&world, "**NOT SET**", 0, 1).await;
}

#[tokio::test(start_paused = true)]
async fn while_snapshots_are_off_history_of_any_age_is_joined_and_nothing_is_closed() {
    let mut world = users();
    world.deployment.snapshots = Snapshots::Off;
    send(&world, &(0..300).map(|n| order(&format!("o{n}"), T - 300 * DAY + n)).collect::<Vec<_>>()).await;
    shows(&world, "**NOT SET**", 0, 300).await;
    assert!(world.queue("snapshot").is_empty() && world.queue("late").is_empty());
    assert_eq!(by_hand(&world, "snapshot").await[0]["closed"], false);
    // Switched on: what was accepted at any age may be under way for a margin still.
    world.deployment.snapshots = Snapshots::Since(T);
    world.at(T + HOUR - 1);
    assert_eq!(by_hand(&world, "snapshot").await[0]["closed"], false);
    world.at(T + HOUR);
    assert_eq!(by_hand(&world, "snapshot").await[0]["events"], 300);
}

#[tokio::test(start_paused = true)]
async fn a_long_tail_asks_for_its_snapshot_and_that_for_its_trim() {
    let world = users();
    for day in 0..14 {
        world.at(T + day * DAY);
        send(&world, &(0..40).map(|n| order(&format!("o{day}-{n}"), T + day * DAY + n)).collect::<Vec<_>>()).await;
        world.drain("snapshot").await;
        world.drain("trim").await;
    }
    shows(&world, "**NOT SET**", 0, 560).await;
    assert!(world.meter.get(Metric::Snapshot) >= 1.0 && world.meter.get(Metric::Trimmed) >= 100.0);
    assert!(world.meter.get(Metric::Snapshot) <= 5.0, "but seldom: a tail that cannot be closed costs reading it");
}

#[tokio::test(start_paused = true)]
async fn payloads_that_are_none_are_refused_with_what_is_expected() {
    let world = users();
    for function in ["command", "consumer", "trigger", "snapshot", "trim"] {
        for payload in [json!({}), json!([]), json!("x"), json!(null), json!({"Records": 7}), json!({"key": 7})] {
            let refused = world.invoke(function, &payload).await.unwrap_err().to_string();
            assert!(refused.contains("expected"), "{function} {payload}: {refused}");
        }
    }
    let refused = world.invoke("other", &json!({})).await.unwrap_err().to_string();
    assert!(refused.contains("command, consumer, trigger, snapshot, trim"), "{refused}");
}

/// A write that was under way for longer than the margin landed below a snapshot that did not have it. Its `put_at` is
/// from before the snapshot, so that it was taken for one that the snapshot holds: it was lost without a word.
#[tokio::test(start_paused = true)]
async fn a_write_that_lands_after_its_place_was_closed_is_in_the_late_queue() {
    let world = users();
    send(&world, &[order("o1", T)]).await;
    world.at(T + WEEK + 2 * HOUR);
    by_hand(&world, "snapshot").await;
    let row = Row { position: Position::new(T + 1, "o2"), put_at: T + 1, body: order("o2", T + 1).into() };
    world.at(T + WEEK + 3 * HOUR);
    world.deployment.store(&world.invocation()).insert_row("u1", &row).await.unwrap();
    world.settle(&kind()).await;
    shows(&world, "**NOT SET**", 0, 1).await;
    assert_eq!(world.queue("late")[0]["event"], order("o2", T + 1));
    assert_eq!(world.meter.get(Metric::MarginBreach), 1.0);
}
