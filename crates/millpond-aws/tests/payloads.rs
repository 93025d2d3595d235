//! What Lambda hands over, as AWS documents it, and damaged: through the functions.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use millpond_aws::meter::Metric;
use millpond_aws_testkit::world::{HOUR, T, WEEK, World};
use millpond_testkit::mapping::Mapping;
use serde_json::{Value, json};

const DEFINITION: &str = include_str!("../../../examples/user-activity/join.toml");
/// After the events of the payloads.
const AFTER: u64 = T + 10_000;

macro_rules! payload {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("payloads/", $name, ".json"))).unwrap()
    };
}

fn world() -> World {
    let world = World::new(DEFINITION);
    world.at(AFTER);
    world
}

/// Names of the items that are to come again.
fn failures(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap()).collect()
}

async fn trigger(world: &World) {
    world.trigger(&Mapping { again_percent: 0, ..Mapping::default() }).await;
}

const WHOLE: &str = r#"{"id":"user-1","name":"Fred User","lastLogin":1760000001000,"recentOrderCount":1}"#;

#[tokio::test(start_paused = true)]
async fn records_of_kinesis_alone_and_as_an_aggregate_make_the_view() {
    for payload in [payload!("kinesis"), payload!("kinesis-aggregate")] {
        let world = world();
        let answer = world.invoke("consumer", &payload).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
        trigger(&world).await;
        assert_eq!(world.document("user-1").await.unwrap(), WHOLE);
        assert_eq!(world.meter.get(Metric::Lag), 10_013.0, "since the oldest was put");
    }
    let world = world();
    world.invoke("consumer", &payload!("kinesis-window")).await.unwrap();
    assert_eq!(world.meter.get(Metric::Accepted), 1.0, "what else a payload says does not matter");
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_read_are_kept_and_their_neighbours_done() {
    let world = world();
    let answer = world.invoke("consumer", &payload!("kinesis-malformed")).await.unwrap();
    assert_eq!(failures(&answer), Vec::<&str>::new(), "they would be the same the next time");
    trigger(&world).await;
    let document = world.document("user-1").await.unwrap();
    assert_eq!(document, WHOLE.replace(r#""recentOrderCount":1"#, r#""recentOrderCount":0"#));
    let kept = world.queue("quarantine");
    assert_eq!(kept.len(), 5);
    assert!(kept.iter().all(|message| message["reason"] == "broken-input" && message["text"].is_string()), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn inserts_of_the_change_stream_are_folded_and_nothing_else_is() {
    let world = world();
    let mut rows = payload!("kinesis");
    rows["Records"].as_array_mut().unwrap().truncate(2);
    world.invoke("consumer", &rows).await.unwrap();
    let answer = world.invoke("trigger", &payload!("dynamodb-stream")).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let document = world.document("user-1").await.unwrap();
    assert_eq!(document, WHOLE.replace(r#""recentOrderCount":1"#, r#""recentOrderCount":0"#));
    let damaged = world.invoke("trigger", &payload!("dynamodb-stream-malformed")).await.unwrap();
    assert_eq!(failures(&damaged), Vec::<&str>::new());
    assert_eq!(world.queue("quarantine").len(), 5);
    assert_eq!(world.document("user-1").await.unwrap(), document);
}

#[tokio::test(start_paused = true)]
async fn messages_are_done_once_a_key_and_what_names_no_key_goes_to_the_dead_letters() {
    let world = world();
    world.invoke("consumer", &payload!("kinesis")).await.unwrap();
    world.at(T + WEEK + 2 * HOUR);
    let answer = world.invoke("snapshot", &payload!("sqs")).await.unwrap();
    assert_eq!(failures(&answer), Vec::<&str>::new());
    assert_eq!((world.meter.get(Metric::Snapshot), world.queue("trim").len()), (1.0, 1));
    let answer = world.invoke("trim", &payload!("sqs-malformed")).await.unwrap();
    let numbers: Vec<&str> = failures(&answer).iter().map(|id| &id[id.len() - 1..]).collect();
    assert_eq!(numbers, ["1", "3", "4"], "the one that names a key is done");
    assert_eq!(world.meter.get(Metric::Trimmed), 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_test_of_the_console_and_a_key_by_hand() {
    let world = world();
    for function in ["command", "consumer", "trigger", "snapshot", "trim"] {
        let refused = world.invoke(function, &payload!("test-invoke")).await.unwrap_err().to_string();
        assert!(refused.starts_with("this payload is not for this function: expected"), "{function}: {refused}");
    }
    world.invoke("consumer", &payload!("kinesis")).await.unwrap();
    world.invoke("trigger", &payload!("by-hand")).await.unwrap();
    assert_eq!(world.document("user-1").await.unwrap(), WHOLE);
    let trimmed = world.invoke("trim", &payload!("by-hand")).await.unwrap();
    assert_eq!(trimmed, json!([{"key": "user-1", "deleted": 0, "archived": 0}]));
}
