//! What seldom happens: views that outgrow an item, definitions that change after history is trimmed,
//! deployments that meet, batches that are given up, aggregates, archives and erasures.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::time::Duration;

use millpond_aws::archive::{Archived, folder};
use millpond_aws::erase::erase;
use millpond_aws::given_up;
use millpond_aws::items::snapshot_id;
use millpond_aws::meter::Metric;
use millpond_aws_testkit::fake::{EVENTS, Faults};
use millpond_aws_testkit::world::{DAY, HOUR, T, WEEK, World};
use millpond_core::process::trigger::is_compared;
use millpond_core::store::{Store, Written};
use millpond_core::{Join, View};
use millpond_testkit::mapping::Mapping;
use serde_json::{Value, json};

const USERS: &str = include_str!("../../../examples/user-activity/join.toml");
/// Five texts, each of which may be large.
const TEXTS: &str = r#"
name = "texts"
lateness = "7d"
[key]
a = "k"
b = "k"
c = "k"
d = "k"
e = "k"
[view]
a = { latest = "text", of = "a" }
b = { latest = "text", of = "b" }
c = { latest = "text", of = "c" }
d = { latest = "text", of = "d" }
e = { latest = "text", of = "e" }
n = { count = ["a", "b", "c", "d", "e"] }
"#;

/// Each record once, in order.
fn kind() -> Mapping {
    Mapping { again_percent: 0, ..Mapping::default() }
}

fn order(id: &str, at: u64) -> String {
    json!({"id": id, "type": "order-submitted", "timestamp": at, "order": {"userId": "u1"}}).to_string()
}

fn text(kind: &str, id: &str, at: u64, bytes: usize) -> String {
    json!({"id": id, "type": kind, "timestamp": at, "k": "k1", "text": kind.repeat(bytes)}).to_string()
}

async fn send(world: &World, texts: &[String]) {
    world.put(texts);
    world.settle(&kind()).await;
}

async fn by_hand(world: &World, function: &str, key: &str) -> Value {
    world.invoke(function, &json!({"key": key})).await.unwrap()
}

/// The view of a key, whatever is marked in it.
async fn shown(world: &World, key: &str) -> View {
    let invocation = world.invocation();
    world.deployment.store(&invocation).that_heals().view(key).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_view_that_outgrows_an_item_stays_as_it_was_and_nothing_is_lost() {
    let world = World::new(TEXTS);
    let large = 60_000; // each lies in its field and in the state
    send(&world, &["a", "b", "c"].map(|kind| text(kind, kind, T, large))).await;
    let before = world.document("k1").await.unwrap();
    send(&world, &[text("d", "d", T + 1, large)]).await;
    send(&world, &[text("e", "e", T + 2, 5)]).await;
    assert_eq!(world.meter.get(Metric::Overflow), 2.0, "each write of it is counted, and none is tried again");
    assert!(world.given_up.lock().unwrap().is_empty() && world.meter.get(Metric::Failed) == 0.0);
    let join = &world.deployment.join;
    assert_eq!(shown(&world, "k1").await.state.document(join, "k1"), before);
    assert_eq!(world.rows(EVENTS).await, 5, "its events are kept");
    // A smaller text takes the place of a large one: by hand it is looked at again.
    send(&world, &[text("a", "a2", T + 3, 5)]).await;
    by_hand(&world, "trigger", "k1").await;
    assert!(world.document("k1").await.unwrap().ends_with(r#""e":"eeeee","n":6}"#));
    assert_eq!(world.differences("k1").await, 0);
}

/// The view was marked as the changed definition's, and kept the other one's snapshot: the next to fold built upon it.
#[tokio::test(start_paused = true)]
async fn a_view_that_outgrows_an_item_by_a_changed_definition_is_folded_anew() {
    let mut world = World::new(TEXTS);
    let large = 60_000;
    send(&world, &["a", "b", "c"].map(|kind| text(kind, kind, T, large))).await;
    world.at(T + WEEK + HOUR);
    assert_eq!(by_hand(&world, "snapshot", "k1").await[0]["events"], 3);
    // One more large text, and a state with a field more.
    let wider = TEXTS.replace("[view]", "[view]\nlast = { latest = \"text\" }");
    world.deployment.join = Join::parse(&wider).unwrap();
    world.deployment.generation += 1;
    send(&world, &[text("d", "d", T + WEEK, large)]).await;
    assert_eq!(world.meter.get(Metric::Overflow), 1.0);
    assert_eq!(shown(&world, "k1").await.snapshot, None);
    send(&world, &[text("a", "a2", T + WEEK + 1, 5)]).await;
    by_hand(&world, "trigger", "k1").await;
    let document = world.document("k1").await.unwrap();
    assert!(document.starts_with(r#"{"id":"k1","last":"aaaaa","a":"aaaaa","#), "{document}");
    assert!(document.ends_with(r#""n":5}"#), "{document}");
    assert_eq!(world.differences("k1").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_changed_definition_that_needs_trimmed_events_is_refused_and_the_old_one_goes_on() {
    let mut world = World::new(USERS);
    send(&world, &[order("o1", T), order("o2", T + 1)]).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot", "u1").await;
    by_hand(&world, "trim", "u1").await;
    let other = USERS.replace("lastLogin ", "last ");
    let old = std::mem::replace(&mut world.deployment.join, Join::parse(&other).unwrap());
    world.deployment.generation = 2;
    send(&world, &[order("o3", T + DAY)]).await;
    assert_eq!((world.meter.get(Metric::Incomplete), world.meter.get(Metric::Failed)), (1.0, 0.0));
    world.deployment.join = old;
    world.deployment.generation = 3;
    send(&world, &[order("o4", T + 2 * DAY)]).await;
    assert!(world.document("u1").await.unwrap().ends_with(r#""recentOrderCount":4}"#), "what was left behind is in");
    assert_eq!(world.differences("u1").await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_older_deployment_still_does_gives_way_to_the_newer_one() {
    let mut world = World::new(USERS);
    send(&world, &[order("o1", T)]).await;
    let newer = USERS.replace("lastLogin ", "last ");
    let old = std::mem::replace(&mut world.deployment.join, Join::parse(&newer).unwrap());
    world.deployment.generation = 2;
    send(&world, &[order("o2", T + 1)]).await;
    let newer = std::mem::replace(&mut world.deployment.join, old);
    world.deployment.generation = 1;
    world.put([order("o3", T + 2)]);
    world.settle(&Mapping { retries_max: Some(1), ..kind() }).await;
    assert_eq!(world.given_up.lock().unwrap().len(), 1, "it is not the older one's to write");
    world.deployment.join = newer;
    world.deployment.generation = 2;
    let given_up = std::mem::take(&mut *world.given_up.lock().unwrap());
    world.invoke("trigger", &json!({"Records": given_up})).await.unwrap();
    let document = world.document("u1").await.unwrap();
    assert_eq!(document, r#"{"id":"u1","name":"**NOT SET**","last":0,"recentOrderCount":3}"#);
}

#[tokio::test(start_paused = true)]
async fn a_large_snapshot_lies_apart_and_a_write_of_its_view_does_not_carry_it() {
    let world = World::new(TEXTS);
    send(&world, &[text("a", "a", T, 5_000)]).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot", "k1").await;
    send(&world, &[text("a", "a2", T + DAY, 3), text("b", "b", T + DAY, 3)]).await;
    let dynamo = &world.deployment.clients.dynamo;
    let items = dynamo.scan().table_name(millpond_aws_testkit::fake::VIEW).send().await.unwrap().items.unwrap();
    let bytes = |id: &str| {
        items.iter().find(|item| item["id"].as_s().unwrap() == id).map(millpond_aws::items::item_bytes).unwrap()
    };
    assert!(bytes("k1") < 1024 && bytes(&snapshot_id("k1")) > 5_000, "{} {}", bytes("k1"), bytes(&snapshot_id("k1")));
    assert_eq!(world.differences("k1").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_view_that_was_tampered_with_is_found_and_mended() {
    let world = World::new(USERS);
    send(&world, &(0..4).map(|n| order(&format!("o{n}"), T + n)).collect::<Vec<_>>()).await;
    let invocation = world.invocation();
    let store = world.deployment.store(&invocation);
    let before = store.view("u1").await.unwrap().unwrap();
    // One order too few, and the next write is one that is compared.
    let other = World::new(USERS);
    send(&other, &(0..3).map(|n| order(&format!("o{n}"), T + n)).collect::<Vec<_>>()).await;
    let version = (before.version + 1..).find(|version| is_compared("u1", version + 1, 5)).unwrap();
    let wrong = View { state: shown(&other, "u1").await.state, version, ..before.clone() };
    assert_eq!(store.put_view("u1", Some(&before), &wrong).await.unwrap(), Written::Done);
    assert_eq!(world.differences("u1").await, 1, "verify finds it");
    send(&world, &[order("o9", T + 9)]).await;
    assert_eq!(world.meter.get(Metric::Divergence), 1.0);
    assert!(world.document("u1").await.unwrap().ends_with(r#""recentOrderCount":5}"#));
    assert_eq!(world.differences("u1").await, 0);
}

/// A field of a Protocol Buffers message that has a length.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.extend([number << 3 | 2, (bytes.len() & 0x7f) as u8 | 0x80, (bytes.len() >> 7) as u8]);
    out.extend_from_slice(bytes);
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_of_the_producer_library_is_taken_apart_and_its_poison_kept_alone() {
    let world = World::new(USERS);
    let mut message = Vec::new();
    for event in [order("o1", T), "broken".to_owned(), order("o2", T + 1)] {
        let mut record = Vec::new();
        field(&mut record, 3, event.as_bytes());
        field(&mut message, 3, &record);
    }
    let digest = md5::compute(&message).0;
    world.put([[&[0xf3, 0x89, 0x9a, 0xc2][..], &message, &digest].concat()]);
    world.settle(&kind()).await;
    assert!(world.document("u1").await.unwrap().ends_with(r#""recentOrderCount":2}"#));
    assert_eq!(world.queue("quarantine")[0]["text"], "broken");
}

/// What Lambda writes into the bucket for records that it gives up.
fn given_up_object(world: &World, function: &str, records: &[Value]) -> Vec<u8> {
    let arn = format!("arn:aws:lambda:eu-central-1:000000000000:function:{}-{function}", world.deployment.service);
    json!({
        "requestContext": {"requestId": "r", "functionArn": arn, "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 3},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "payload": json!({"Records": records}).to_string(),
    })
    .to_string()
    .into_bytes()
}

#[tokio::test(start_paused = true)]
async fn what_mappings_gave_up_is_done_after_all_and_counted_once() {
    let mut world = World::new(USERS);
    world.patience = Duration::from_millis(50);
    let unkind = Mapping { retries_max: Some(1), ..kind() };
    for function in ["consumer", "trigger"] {
        world.put([order(&format!("o-{function}"), T)]);
        if function == "trigger" {
            world.consume(&unkind).await;
        }
        world.aws.faults(Faults { refused: 100, ..Faults::default() }, 1);
        world.settle(&unkind).await;
        world.aws.faults(Faults::default(), 0);
        let records = std::mem::take(&mut *world.given_up.lock().unwrap());
        let object = given_up_object(&world, function, &records);
        let batch = given_up::read(&world.deployment, &object).unwrap();
        assert_eq!((&*batch.function, batch.records), (function, 1));
        assert!(batch.has("u1") && !batch.has("u2"), "an erasure knows where its key is");
        for _ in 0..2 {
            assert_eq!(given_up::retry(&world.deployment, &batch, &world.invocation()).await.unwrap(), 0);
        }
        world.settle(&unkind).await;
    }
    assert!(world.document("u1").await.unwrap().ends_with(r#""recentOrderCount":2}"#));
    assert_eq!(world.differences("u1").await, 0);
    for (object, why) in [
        ("{", "not what Lambda keeps"),
        (r#"{"requestContext":{"functionArn":"a:dev-users-trigger","condition":"c"},"timestamp":"t"}"#, "no records"),
        (r#"{"requestContext":{"functionArn":"x","condition":"c"},"timestamp":"t","payload":"{}"}"#, "no function of"),
    ] {
        let fault = given_up::read(&world.deployment, object.as_bytes()).unwrap_err();
        assert!(fault.contains(why), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_trimmed_is_archived_first_and_an_erasure_leaves_nothing_that_comes_back() {
    let mut world = World::new(USERS);
    world.deployment.archive = true;
    let orders: Vec<String> = (0..60).map(|n| order(&format!("o{n:02}"), T + n)).collect();
    send(&world, &orders).await;
    world.at(T + WEEK + HOUR);
    by_hand(&world, "snapshot", "u1").await;
    let trimmed = by_hand(&world, "trim", "u1").await;
    assert_eq!(trimmed, json!([{"key": "u1", "deleted": 60, "archived": 60}]));
    let objects = world.aws.state().objects.clone();
    assert!(objects.keys().all(|name| name.contains(&folder("u1"))), "by key, so that an erasure finds them");
    let lines = objects.values().flat_map(|bytes| std::str::from_utf8(bytes).unwrap().lines());
    let archived: Vec<Archived> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(archived.iter().map(|line| &line.event).collect::<Vec<_>>(), orders.iter().collect::<Vec<_>>());

    let erased = erase(&world.deployment, "u1", &world.invocation()).await.unwrap();
    assert_eq!((erased.view, erased.snapshot, erased.rows), (true, true, 0));
    assert!(shown(&world, "u1").await.is_erased());
    // Records that were on their way come again; they stay out, and are seen.
    send(&world, &[order("o60", T + WEEK)]).await;
    assert_eq!(shown(&world, "u1").await.events, 0);
    world.drain("trim").await;
    assert_eq!(world.rows(EVENTS).await, 0, "and are deleted");
    assert_eq!(world.aws.state().objects.len(), objects.len(), "and archived nowhere");
    // What happens after the erasure is a new life.
    world.at(T + 2 * WEEK);
    send(&world, &[order("new", T + 2 * WEEK)]).await;
    assert!(world.document("u1").await.unwrap().ends_with(r#""recentOrderCount":1}"#));
    let again = erase(&world.deployment, "nobody", &world.invocation()).await.unwrap();
    assert_eq!((again.view, again.snapshot, again.rows), (false, false, 0));

    // A definition that came after the erasure keeps out what was erased, too; and takes what is newer.
    let again = erase(&world.deployment, "u1", &world.invocation()).await.unwrap();
    assert_eq!((again.view, again.snapshot, again.rows), (true, true, 1));
    send(&world, &[order("o61", T + 2 * WEEK - HOUR)]).await;
    let redefined = world.redefined(&USERS.replace("**NOT SET**", "nobody"));
    for newer in 0..2 {
        world.invoke_of(&redefined, "trigger", &json!({"key": "u1"})).await.unwrap();
        let item = world.aws.view_item("u1").unwrap();
        assert_eq!(item["_events"]["N"], newer.to_string(), "{item}");
        world.at(T + 2 * WEEK + HOUR);
        world.put(&[order("o62", T + 2 * WEEK + HOUR)]);
        world.consume_at_once().await;
    }
}

/// An erasure deleted all rows, those younger than itself, too, which the key's new view had folded or was to fold; and
/// forgot that the view was behind, so that nobody folded what it lacked.
#[tokio::test(start_paused = true)]
async fn what_is_younger_than_an_erasure_is_the_keys_new_life() {
    for is_behind in [false, true] {
        let world = World::new(USERS);
        send(&world, &[order("o1", T)]).await;
        world.put([order("o2", T + 60_000)]);
        world.consume_at_once().await;
        let on_its_way: Vec<Value> = world.new_inserts().into_iter().map(|record| record.data).collect();
        let invocation = world.invocation();
        if is_behind {
            world.deployment.store(&invocation).mark_behind("u1").await.unwrap();
        }
        let erased = erase(&world.deployment, "u1", &invocation).await.unwrap();
        assert_eq!((erased.rows, world.rows(EVENTS).await), (1, 1));
        if is_behind {
            // Whoever could not fold it will not be given it again.
            send(&world, &[order("o3", T + 60_001)]).await;
        } else {
            world.invoke("trigger", &json!({"Records": on_its_way})).await.unwrap();
        }
        assert_eq!(shown(&world, "u1").await.events, 1 + u64::from(is_behind));
        assert_eq!(world.differences("u1").await, 0);
    }
}
