//! Readers beside a writer, flushes, snapshots and trims: whatever they see is whole.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millpond_core::Join;
use millpond_core::verify::verify;
use millpond_store::{Batch, Cursor, DataFolder, Filter, Options, Store};

const KEYS: u64 = 20;
const BATCHES: u64 = 150;
const BATCH_EVENTS: u64 = 40;
const START: u64 = 1_760_000_000_000;

const DEFINITION: &str = r#"
name = "counted"
lateness = "10ms"
snapshot_every = 5
[key]
"e" = "k"
[view]
count = { count = "e" }
sum   = { sum = "n" }
last  = { list = "n", last = 3 }
"#;

/// Memory so small that every few commits freeze and flush, and nothing stays cached.
fn small() -> Options {
    Options {
        cache_bytes: 0,
        memtable_bytes: 20_000,
        block_cache_bytes: 1 << 20,
        log_bytes_kept: 0,
        duplicates_bytes_kept: 1_000,
        durable: false,
    }
}

fn event(number: u64) -> String {
    let at = START + number;
    format!(r#"{{"id":"e{number}","type":"e","timestamp":{at},"k":"k{}","n":{number}}}"#, number % KEYS)
}

fn write(store: &Store, acknowledged: &AtomicU64) {
    for batch in 0..BATCHES {
        let events: Vec<String> = (batch * BATCH_EVENTS..(batch + 1) * BATCH_EVENTS).map(event).collect();
        let events: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
        let now = START + (batch + 1) * BATCH_EVENTS;
        store.ingest(&Batch { events: &events, now, ..Batch::default() }).unwrap();
        acknowledged.store((batch + 1) * BATCH_EVENTS, Ordering::SeqCst);
        store.maintain(now).unwrap();
    }
}

/// One look at a key: the view is the fold of its snapshot and its tail, nothing that was
/// acknowledged before is missing, and nothing goes back.
fn look(store: &Store, number: u64, acknowledged: &AtomicU64, seen: &mut u64) {
    let at_least = acknowledged.load(Ordering::SeqCst) / KEYS;
    let Some(found) = store.key_view(&format!("k{number}")).unwrap() else {
        assert_eq!(at_least, 0, "k{number} is missing");
        return;
    };
    assert_eq!(verify(store.join(), &found.view, &found.tail).unwrap(), []);
    assert!(found.view.events >= at_least.max(*seen), "{} after {at_least} and {seen}", found.view.events);
    *seen = found.view.events;
}

/// Follows all changes: versions of a key only grow, and at the end it knows what is there.
fn follow(store: &Store, done: &AtomicBool) {
    let mut cursor = Cursor::start();
    let mut known = BTreeMap::new();
    loop {
        let ended = done.load(Ordering::SeqCst);
        let page = store.changes(&cursor, &Filter::default(), 7).unwrap();
        assert!(!page.reset);
        for change in page.changes {
            let before = known.insert(change.key, (change.version, change.document));
            assert!(before.is_none_or(|(version, _)| version < change.version));
        }
        cursor = page.next;
        if ended && !page.more {
            let known: Vec<_> = known.into_iter().map(|(key, (_, document))| (key, document.unwrap())).collect();
            assert_eq!(known, store.documents("", None, usize::MAX).unwrap());
            return;
        }
    }
}

/// Ends the readers, also when the writer fails.
struct Ends<'d>(&'d AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn readers_see_whole_views_beside_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let (store, _) = Store::open_or_create(&folder, Join::parse(DEFINITION).unwrap(), small()).unwrap();
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (store, acknowledged, done) = (&store, &acknowledged, &done);
            scope.spawn(move || {
                let mut seen = [0; KEYS as usize];
                while !done.load(Ordering::SeqCst) {
                    for number in 0..KEYS {
                        look(
                            store,
                            (number + reader) % KEYS,
                            acknowledged,
                            &mut seen[((number + reader) % KEYS) as usize],
                        );
                    }
                    let page = store.documents("", None, usize::MAX).unwrap();
                    assert!(page.windows(2).all(|pair| pair[0].0 < pair[1].0));
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| follow(&store, &done));
        }
        let _ends = Ends(&done);
        write(&store, &acknowledged);
    });
    let counters = store.counters();
    assert!(counters.snapshots > 0 && counters.trimmed > 0, "{counters:?}");
    assert_eq!((counters.accepted, counters.divergence, counters.keys), (BATCHES * BATCH_EVENTS, 0, KEYS));
    assert_eq!(store.verify(|difference| panic!("{difference:?}"), |_| {}).unwrap().differences, 0);
}
