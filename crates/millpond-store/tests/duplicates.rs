//! Repeats are remembered for who asks which came, as long as nobody erases their key.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use millpond_core::Join;
use millpond_store::{Batch, DataFolder, Duplicate, Options, Store};

const START: u64 = 1_760_000_000_000;
const DEFINITION: &str = "name = \"j\"\n[key]\ne = [\"k\", \"also\"]\n[view]\nn = { count = \"e\" }\n";

fn open(folder: &DataFolder, duplicates_bytes_kept: usize) -> Store {
    let options = Options { duplicates_bytes_kept, ..Options::default() };
    Store::open_or_create(folder, Join::parse(DEFINITION).unwrap(), options).unwrap().0
}

fn put(store: &Store, id: &str, (key, also): (&str, &str), now: u64) {
    let event = format!(r#"{{"id":"{id}","type":"e","timestamp":{START},"k":"{key}","also":"{also}"}}"#);
    store.ingest(&Batch { events: &[event.as_bytes()], now, ..Batch::default() }).unwrap();
}

fn told(duplicates: &[Duplicate]) -> Vec<(&str, &str, u64)> {
    let told = |entry: &Duplicate| entry.received_at - START;
    duplicates.iter().map(|entry| (&*entry.key, &*entry.position.id, told(entry))).collect()
}

#[test]
fn repeats_are_told_the_newest_first_for_each_of_their_keys() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = open(&folder, 10_000);
    put(&store, "1", ("a", "b"), START);
    put(&store, "2", ("a", "a"), START);
    assert!(store.duplicates(None, 9).unwrap().is_empty());
    put(&store, "2", ("a", "a"), START + 5);
    put(&store, "1", ("a", "b"), START + 6);
    let all = store.duplicates(None, 9).unwrap();
    assert_eq!(told(&all), [("b", "1", 6), ("a", "1", 6), ("a", "2", 5)]);
    assert_eq!(told(&store.duplicates(None, 1).unwrap()), [("b", "1", 6)]);
    assert_eq!(told(&store.duplicates(Some("a"), 9).unwrap()), [("a", "1", 6), ("a", "2", 5)]);
    store.close().unwrap();
    assert!(open(&folder, 10_000).duplicates(None, 9).unwrap().is_empty(), "it begins anew");
}

#[test]
fn an_erasure_forgets_the_repeats_of_its_key_and_of_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = open(&folder, 10_000);
    for now in [START, START + 1] {
        put(&store, "1", ("a", "b"), now);
    }
    store.erase("a", START + 2).unwrap().unwrap();
    assert_eq!(told(&store.duplicates(None, 9).unwrap()), [("b", "1", 1)]);
    assert!(store.duplicates(Some("a"), 9).unwrap().is_empty());
}

#[test]
fn nothing_is_remembered_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = open(&folder, Options::default().duplicates_bytes_kept);
    for now in [START, START + 1] {
        put(&store, "1", ("a", "b"), now);
    }
    assert_eq!((store.counters().duplicate, store.duplicates(None, 9).unwrap()), (2, Vec::new()));
}
