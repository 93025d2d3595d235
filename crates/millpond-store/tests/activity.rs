//! What was counted is counted of durable commits, and asking for it waits for none.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use millpond_core::Join;
use millpond_store::{Activity, Batch, DataFolder, Options, Outcome, Store};

const START: u64 = 1_760_000_000_000;
const DEFINITION: &str = "name = \"j\"\nlateness = \"1ms\"\n[key]\ne = \"k\"\n[view]\nn = { count = \"e\" }\n";

fn put(store: &Store, key: &str, at: u64, now: u64) -> Outcome {
    let event = format!(r#"{{"id":"e{at}","type":"e","timestamp":{},"k":"{key}"}}"#, START + at);
    store.ingest(&Batch { events: &[event.as_bytes()], now, ..Batch::default() }).unwrap()[0].1
}

#[test]
fn only_disorder_and_repeats_are_looked_up() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = Store::open_or_create(&folder, Join::parse(DEFINITION).unwrap(), Options::default()).unwrap().0;
    let check = |fast, looked_up, newest: Option<u64>| {
        let newest_at = newest.map(|at| START + at);
        assert_eq!(store.activity(), Activity { fast, looked_up, newest_at });
    };
    check(0, 0, None);
    assert_eq!(put(&store, "k", 10, START), Outcome::Accepted);
    assert_eq!(put(&store, "l", 5, START), Outcome::Accepted);
    check(2, 0, Some(10));
    assert_eq!(put(&store, "k", 7, START), Outcome::Accepted);
    check(2, 1, Some(10));
    assert_eq!(put(&store, "k", 10, START), Outcome::Duplicate);
    check(2, 2, Some(10));
    store.snapshot(&["k"], START + 1_000).unwrap();
    assert_eq!(put(&store, "k", 9, START + 1_000), Outcome::Late);
    assert_eq!(put(&store, "k", 600_000_000, START), Outcome::Quarantined(millpond_core::Reason::Future));
    check(2, 3, Some(10));
    assert_eq!(put(&store, "k", 20, START + 1_000), Outcome::Accepted);
    check(3, 3, Some(20));
    assert_eq!(store.tails(None, 9).unwrap(), [("k".to_owned(), 1), ("l".to_owned(), 1)]);
    store.close().unwrap();
    let store = Store::open(&folder, "j", Options::default()).unwrap().0;
    assert_eq!(store.activity(), Activity::default(), "it begins anew");
    assert_eq!(store.counters().accepted, 4);
}
