//! Everything at once: producers that repeat themselves, mappings that deliver again, tables that
//! throttle, are slow, lose answers, and show what was, triggers, snapshots and trims of the same keys at the same time. In the
//! end every event is counted exactly once, or is in the late queue or in quarantine.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millpond_aws::meter::Metric;
use millpond_aws_testkit::fake::Faults;
use millpond_aws_testkit::world::{DAY, T, World};
use millpond_testkit::mapping::Mapping;
use millpond_testkit::naive;
use serde_json::{Value, json};

const DEFINITION: &str = r#"
name = "users"
lateness = "3d"
snapshot_every = 5
[key]
a = "k"
b = ["k", "also"]
[view]
last = { latest = "text", of = "a" }
sum = { sum = "amount" }
texts = { list = "text", last = 30 }
seen = { set = "text" }
n = { count = ["a", "b"] }
"#;

const KEYS: [&str; 3] = ["k0", "k1", "k2"];
const ROUNDS: u64 = 8;
const EVENTS_A_ROUND: usize = 12;

/// How often each kind of fault was met, over all seeds.
#[derive(Debug, Default)]
struct Met {
    conflicts: f64,
    refolds: f64,
    fast: f64,
    duplicates: f64,
    late: f64,
    failed: f64,
    trimmed: f64,
    snapshots: f64,
}

#[tokio::test(start_paused = true)]
async fn every_event_is_counted_once_or_can_be_seen() {
    let mut met = Met::default();
    for seed in 0..60 {
        life(seed, &mut met).await;
    }
    println!("{met:?}");
    let Met { conflicts, refolds, fast, duplicates, late, failed, trimmed, snapshots } = met;
    for (what, count) in [
        ("conflicts", conflicts),
        ("refolds", refolds),
        ("fast", fast),
        ("duplicates", duplicates),
        ("late", late),
        ("failed", failed),
        ("trimmed", trimmed),
        ("snapshots", snapshots),
    ] {
        assert!(count > 0.0, "no life met any {what}");
    }
}

async fn life(seed: u64, met: &mut Met) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut world = World::new(DEFINITION);
    world.deployment.archive = chance.bool();
    world.seeded(seed);
    // Some calls have no more time.
    world.patience = Duration::from_millis(chance.u64(100..2_000));
    let faults = Faults {
        refused: chance.u32(..15),
        lost: chance.u32(..15),
        partly: chance.u32(..40),
        slow: chance.u32(..10),
        stale: chance.u32(..50),
        ..Faults::default()
    };
    let mapping = Mapping {
        batch_max: chance.usize(1..20),
        bisects: chance.bool(),
        lanes: chance.usize(1..4),
        again_percent: 20,
        retries_max: None,
        ..Mapping::default()
    };
    // By identity: the text, and the keys it joins.
    let mut sent: Vec<String> = Vec::new();
    let mut poison = BTreeSet::new();
    for round in 0..ROUNDS {
        let now = T + round * DAY;
        world.at(now);
        for n in 0..EVENTS_A_ROUND {
            let text = match chance.u32(..10) {
                0 if !sent.is_empty() => sent[chance.usize(..sent.len())].clone(),
                1 => {
                    let text = format!("poison {round} {n}");
                    poison.insert(text.clone());
                    text
                }
                // Some are a day and more too old.
                choice => event(&mut chance, now, &format!("e{round}-{n}"), if choice == 2 { 5 * DAY } else { DAY }),
            };
            if !poison.contains(&text) && !sent.contains(&text) {
                sent.push(text.clone());
            }
            world.put([&text]);
        }
        world.aws.faults(faults, seed ^ round);
        let others = async {
            for key in KEYS {
                let key = json!({"key": key});
                // What fails now is done by another.
                let _ = world.invoke("snapshot", &key).await;
                let _ = world.invoke("trim", &key).await;
            }
        };
        tokio::join!(world.settle(&mapping), others, world.trigger(&mapping));
        // Late ones must not depend on what is still on its way.
        world.settle(&mapping).await;
        world.drain("snapshot").await;
        world.drain("trim").await;
        world.aws.faults(Faults::default(), 0);
        check(&world, seed, &sent, &poison).await;
    }
    assert!(world.given_up.lock().unwrap().is_empty());
    met.conflicts += world.meter.get(Metric::Conflict);
    met.refolds += world.meter.get(Metric::Refold);
    met.fast += world.meter.get(Metric::Fast);
    met.duplicates += world.meter.get(Metric::Duplicate);
    met.late += world.meter.get(Metric::Late);
    met.failed += world.meter.get(Metric::Failed);
    met.trimmed += world.meter.get(Metric::Trimmed);
    met.snapshots += world.meter.get(Metric::Snapshot);
}

fn event(chance: &mut fastrand::Rng, now: u64, id: &str, age_max: u64) -> String {
    let (key, also) = (KEYS[chance.usize(..KEYS.len())], KEYS[chance.usize(..KEYS.len())]);
    let kind = if chance.bool() { "a" } else { "b" };
    let timestamp = now - chance.u64(..age_max);
    let amount = chance.i32(-500..500);
    json!({
        "id": id, "type": kind, "timestamp": timestamp, "k": key, "also": also,
        "text": format!("t{}", chance.u32(..40)), "amount": f64::from(amount) / 100.0,
    })
    .to_string()
}

async fn check(world: &World, seed: u64, sent: &[String], poison: &BTreeSet<String>) {
    let late: BTreeSet<(String, String)> = world
        .queue("late")
        .iter()
        .map(|message| (message["key"].as_str().unwrap().to_owned(), message["event"].as_str().unwrap().to_owned()))
        .collect();
    let mut joins: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for text in sent {
        let event: Value = serde_json::from_str(text).unwrap();
        let mut keys: Vec<&str> = vec![event["k"].as_str().unwrap()];
        if event["type"] == "b" {
            keys.push(event["also"].as_str().unwrap());
        }
        keys.dedup();
        for key in keys {
            let key = KEYS.into_iter().find(|known| *known == key).unwrap();
            let accepted = joins.entry(key).or_default();
            // A late duplicate of one that is counted looks like a late event: it is in both.
            let is_late = late.contains(&(key.to_owned(), text.clone()));
            if !is_late || world.was_accepted(key, text) {
                accepted.push(text.clone().into_bytes());
            }
        }
    }
    for key in KEYS {
        let accepted = joins.remove(key).unwrap_or_default();
        let document = world.document(key).await;
        let right = (!accepted.is_empty()).then(|| naive::document(&world.deployment.join, key, &accepted));
        assert_eq!(document, right, "seed {seed}, {key}");
        assert_eq!(world.differences(key).await, 0, "seed {seed}, {key}");
    }
    let kept: BTreeSet<String> =
        world.queue("quarantine").iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kept, *poison, "seed {seed}");
    for must_be_none in [Metric::Divergence, Metric::MarginBreach, Metric::Overflow, Metric::Incomplete] {
        assert_eq!(world.meter.get(must_be_none), 0.0, "seed {seed}: {must_be_none:?}");
    }
}
