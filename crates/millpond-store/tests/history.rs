//! A key's history in pages, from either end: wherever its rows lie, each is told once and in order.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use millpond_core::{Join, Position};
use millpond_store::{Batch, DataFolder, Options, RowsPage, Store};

const START: u64 = 1_760_000_000_000;
const DEFINITION: &str = "name = \"j\"\nlateness = \"1ms\"\n[key]\ne = \"k\"\n[view]\nn = { count = \"e\" }\n";

fn ingest(store: &Store, key: &str, timestamps: impl Iterator<Item = u64>, now: u64) {
    let event = |at: u64| format!(r#"{{"id":"e{at}","type":"e","timestamp":{},"k":"{key}"}}"#, START + at);
    let events: Vec<String> = timestamps.map(event).collect();
    let events: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    store.ingest(&Batch { events: &events, now, ..Batch::default() }).unwrap();
}

/// Some rows trimmed, some in the tables, some in memory, and neighbours on both sides.
fn filled(folder: &DataFolder) -> Store {
    let store = Store::open_or_create(folder, Join::parse(DEFINITION).unwrap(), Options::default()).unwrap().0;
    for key in ["j", "k", "l"] {
        ingest(&store, key, 0..10, START);
    }
    store.snapshot(&["k"], START + 1_000).unwrap();
    store.trim(&["k"]).unwrap();
    ingest(&store, "k", (10..60).step_by(2), START + 1_000);
    store.flush().unwrap();
    ingest(&store, "k", (11..60).rev().step_by(2), START + 1_000);
    store
}

fn all_pages(read: impl Fn(Option<&Position>) -> Option<RowsPage>) -> Vec<u64> {
    let mut rows = Vec::new();
    loop {
        let page = read(rows.last()).unwrap();
        assert_eq!((page.trimmed, page.trimmed_to.unwrap().timestamp), (10, START + 9));
        if page.rows.is_empty() {
            return rows.into_iter().map(|position: Position| position.timestamp - START).collect();
        }
        rows.extend(page.rows.into_iter().map(|row| row.position));
    }
}

#[test]
fn pages_from_the_newest_on_are_the_history_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = filled(&folder);
    let forwards: Vec<u64> = (10..60).collect();
    let backwards: Vec<u64> = forwards.iter().rev().copied().collect();
    for limit in [1, 7, 49, 50, 51, usize::MAX] {
        assert_eq!(all_pages(|after| store.rows_page("k", after, limit).unwrap()), forwards, "{limit}");
        assert_eq!(all_pages(|before| store.newest_rows_page("k", before, limit).unwrap()), backwards, "{limit}");
    }
    let oldest = Position::new(START + 5, "e5");
    assert!(store.newest_rows_page("k", Some(&oldest), 9).unwrap().unwrap().rows.is_empty(), "it is trimmed");
    assert!(store.newest_rows_page("nobody", None, 9).unwrap().is_none());
}
