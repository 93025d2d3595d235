//! Faults that were found by reading: what is retried or closed is counted once and kept.

use millpond_core::{Join, Reason, Rejection};
use millpond_store::{Batch, DataFolder, Error, Options, Outcome, Retried, Store};
use tempfile::TempDir;

const START: u64 = 1_760_000_000_000;

const DEFINITION: &str = r#"
name = "two"
lateness = "1ms"
[key]
"e" = ["a", "b"]
"f" = "a"
[view]
n = { count = ["e", "f"] }
"#;

fn open() -> (TempDir, DataFolder, Store) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = DataFolder::open_or_create(dir.path()).expect("a new folder");
    let join = Join::parse(DEFINITION).expect("the definition is right");
    let (store, _) = Store::open_or_create(&folder, join, Options::default()).expect("a new join");
    (dir, folder, store)
}

fn put(store: &Store, now: u64, event: &str) -> Vec<Outcome> {
    let batch = Batch { events: &[event.as_bytes()], now, ..Batch::default() };
    store.ingest(&batch).expect("a healthy disk").into_iter().map(|(_, outcome)| outcome).collect()
}

fn ids(store: &Store) -> Vec<String> {
    let mut ids = Vec::new();
    let each = store.each_quarantined(|entry| {
        ids.push(entry.id);
        Ok::<(), Error>(())
    });
    each.expect("readable");
    ids
}

/// It was accepted for one key and a conflict for the other, but counted as neither.
#[test]
fn a_retried_event_of_two_keys_is_counted_for_each() {
    let (_dir, _folder, store) = open();
    let far = START + 10_000_000;
    put(&store, far, &format!(r#"{{"id":"x","type":"f","timestamp":{far},"a":"B"}}"#));
    put(&store, START, &format!(r#"{{"id":"x","type":"e","timestamp":{far},"a":"A","b":"B"}}"#));
    let retried = store.retry_quarantined(&ids(&store)[0], far).expect("a healthy disk");
    assert_eq!(retried, Retried::Stays(Outcome::Quarantined(Reason::Conflict)));
    let counters = store.counters();
    assert_eq!((counters.received, counters.accepted, counters.quarantined, counters.keys), (3, 2, 1, 2));
    assert_eq!(ids(&store).len(), 1);
}

/// A retry of a broken piece left a second entry with the same bytes.
#[test]
fn a_retried_broken_piece_is_kept_once() {
    let (_dir, _folder, store) = open();
    let broken = [(&b"{\"id\":\"x\", cut"[..], Rejection::new(Reason::BrokenInput, "line 3"))];
    store.ingest(&Batch { broken: &broken, now: START, ..Batch::default() }).expect("a healthy disk");
    let before = ids(&store);
    let retried = store.retry_quarantined(&before[0], START).expect("a healthy disk");
    assert_eq!(retried, Retried::Stays(Outcome::Quarantined(Reason::InvalidJson)));
    assert_eq!((ids(&store), store.counters().quarantined), (before, 1));
}

/// A rebuild dropped a waiting late event of a type that was no longer named.
#[test]
fn a_rebuild_refuses_to_drop_a_late_event_too() {
    let (_dir, folder, store) = open();
    put(&store, START, &format!(r#"{{"id":"1","type":"f","timestamp":{START},"a":"A"}}"#));
    store.snapshot(&["A"], START + 1_000).expect("a healthy disk");
    let late = format!(r#"{{"id":"late","type":"e","timestamp":{},"a":"A"}}"#, START - 5);
    assert_eq!(put(&store, START + 1_000, &late), [Outcome::Late]);
    let fewer = "name = \"two\"\n[key]\n\"f\" = \"a\"\n[view]\nn = { count = \"f\" }\n";
    let fewer = Join::parse(fewer).expect("the definition is right");
    let Err(refused) = store.rebuild(&folder, fewer, false, |_| {}) else { panic!("it would be gone") };
    assert!(matches!(refused, Error::WouldDrop { rows: 1, .. }), "{refused}");
}

/// Spaces around an event made a repeat a conflict.
#[test]
fn a_repeat_with_other_spaces_is_a_duplicate() {
    let (_dir, _folder, store) = open();
    let event = format!(r#"{{"id":"1","type":"f","timestamp":{START},"a":"A"}}"#);
    assert_eq!(put(&store, START, &event), [Outcome::Accepted]);
    assert_eq!(put(&store, START, &format!(" {event}\n")), [Outcome::Duplicate]);
}

/// Each retry of a conflict used to count it once more.
#[test]
fn a_conflict_that_stays_is_counted_once_however_often_it_is_retried() {
    let (_dir, _folder, store) = open();
    for body in ["1", "2"] {
        put(&store, START, &format!(r#"{{"id":"x","type":"f","timestamp":{START},"a":"A","n":{body}}}"#));
    }
    let before = store.counters();
    assert_eq!((before.conflicts, before.quarantined), (1, 1));
    let id = ids(&store).pop().expect("one entry");
    for _ in 0..3 {
        store.retry_quarantined(&id, START).expect("a healthy disk");
    }
    assert_eq!(store.counters(), before);
}

/// It came from the future, and is a conflict by now: that is why it stays, and what is to be told.
#[test]
fn what_stays_says_why_it_stays_now() {
    let (_dir, _folder, store) = open();
    let far = START + 10_000_000;
    let event = |n: u32| format!(r#"{{"id":"x","type":"f","timestamp":{far},"a":"A","n":{n}}}"#);
    put(&store, START, &event(1));
    put(&store, far, &event(2));
    let id = ids(&store).pop().expect("one entry");
    for _ in 0..2 {
        let retried = store.retry_quarantined(&id, far).expect("a healthy disk");
        assert_eq!(retried, Retried::Stays(Outcome::Quarantined(Reason::Conflict)));
    }
    let entry = store.quarantined(&id).expect("readable").expect("it is there");
    assert_eq!((entry.rejection.reason, entry.at), (Reason::Conflict, START));
    assert_eq!(store.counters().conflicts, 1);
}

/// Memory, what is being flushed, and tables are one list, however much of it there is.
#[test]
fn a_long_quarantine_is_listed_whole_and_in_order() {
    let (_dir, _folder, store) = open();
    let pad = "x".repeat(3_000);
    let piece = |n: usize| format!("{{broken {n} {pad}");
    for n in 0..600 {
        put(&store, 1_000, &piece(n));
        if n == 300 {
            store.flush().unwrap();
        }
    }
    let all = ids(&store);
    assert_eq!(all.len(), 600);
    assert!(all.is_sorted());
    for id in all.iter().step_by(3) {
        assert!(store.drop_quarantined(id).unwrap());
    }
    let expected: Vec<String> = all.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, id)| id.clone()).collect();
    assert_eq!(ids(&store), expected);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page = store.quarantine_page(paged.last().map(String::as_str), 7).unwrap();
        paged.extend(page.iter().map(|entry| entry.id.clone()));
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(paged, expected);
}
