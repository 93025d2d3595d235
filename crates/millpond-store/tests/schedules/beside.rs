//! Writers beside each other, readers, upkeep, flushes, and the end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond_store::Outcome;
use shuttle::rand::Rng;

use crate::scheduler::{holds, scope};
use crate::world::{Acknowledged, KEYS, NOW, START, Seen, Told, World, follow_to_the_end, ingest, is_fold_of, key};

/// What is old enough to be closed while the threads run.
const OLD: [u64; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
/// A moment at which they can be closed, and nothing else.
const UPKEEP: u64 = START + 500;

/// Whatever was acknowledged before is seen, and nothing goes back.
fn read(store: &millpond_store::Store, acknowledged: &Acknowledged) {
    let mut seen = Seen::default();
    for round in 0..2 {
        for number in round..round + KEYS {
            let before = acknowledged.numbers();
            let ids = seen.key(store, &key(number)).unwrap();
            let missing: Vec<&u64> = before.iter().filter(|of| key(**of) == key(number) && !ids.contains(of)).collect();
            assert!(missing.is_empty(), "{missing:?} of {before:?}");
        }
        seen.list(store).unwrap();
    }
}

/// Two writers with events of the other, and with old ones again.
fn writers_readers_and_upkeep() {
    let world = World::new();
    let store = world.open();
    ingest(&store, &OLD, START, false).unwrap();
    let (acknowledged, told) = (Acknowledged::default(), Told::of(&store));
    let (first, second): ([&[u64]; 3], [&[u64]; 3]) =
        ([&[100, 101, 102], &[103, 104, 100], &[105, 106, 107]], [&[104, 102, 108], &[107, 101], &[109, 110, 103]]);
    scope(|scope| {
        let (store, acknowledged) = (&store, &acknowledged);
        let work = [
            scope.spawn(move || first.iter().for_each(|batch| acknowledged.ingest(store, batch).unwrap())),
            scope.spawn(move || {
                let again = ingest(store, &[2, 4, 6], START, true).unwrap();
                assert!(again.iter().all(|(_, outcome)| *outcome == Outcome::Duplicate), "{again:?}");
                second.iter().for_each(|batch| acknowledged.ingest(store, batch).unwrap());
            }),
            scope.spawn(|| (0..3).for_each(|_| _ = store.upkeep(UPKEEP, 2, true).unwrap())),
        ];
        scope.spawn(|| read(store, acknowledged));
        scope.spawn(|| follow_to_the_end(store, &told));
        work.into_iter().for_each(|work| work.join().unwrap());
        told.end();
    });
    store.maintain(UPKEEP).unwrap();
    acknowledged.each_was_accepted_once();
    let all: BTreeSet<u64> = OLD.into_iter().chain(acknowledged.numbers()).collect();
    is_fold_of(&store, &all);
    let counters = store.counters();
    assert_eq!((counters.accepted, counters.duplicate, counters.received), (20, 9, 29), "{counters:?}");
    assert_eq!((counters.snapshots, counters.trimmed, counters.divergence), (KEYS, 9, 0), "{counters:?}");
}

#[test]
fn who_reads_beside_writers_and_upkeep_sees_whole_and_durable_views() {
    holds("who reads beside writers and upkeep sees whole and durable views", writers_readers_and_upkeep);
}

/// Lives in which an event below the boundary was accepted, so that none was drawn, and in which one was late.
static ACCEPTED_BELOW: AtomicUsize = AtomicUsize::new(0);
static LATE_BELOW: AtomicUsize = AtomicUsize::new(0);

/// A writer with events below the boundary of a snapshot that is being decided: each is in the view, or late.
fn writers_below_a_boundary() {
    let world = World::new();
    let store = world.open();
    let first = OLD.map(|number| number + 9);
    ingest(&store, &first, START, false).unwrap();
    let batches: [&[u64]; 3] = [&[0, 1, 2], &[3, 4, 5], &[6, 7, 8]];
    let accepted = scope(|scope| {
        let store = &store;
        let upkeep = scope.spawn(|| {
            // The first is asked for by name: no writer has asked for one while nothing could be closed.
            store.snapshot(&["k0", "k1", "k2"], UPKEEP).unwrap();
            (0..2).for_each(|_| _ = store.upkeep(UPKEEP, 2, true).unwrap());
        });
        let mut accepted = BTreeSet::from(first);
        for batch in batches {
            for (number, outcome) in ingest(store, batch, NOW, false).unwrap() {
                match outcome {
                    Outcome::Accepted => drop(accepted.insert(number)),
                    Outcome::Late => {}
                    other => panic!("event {number}: {other:?}"),
                }
            }
        }
        upkeep.join().unwrap();
        accepted
    });
    is_fold_of(&store, &accepted);
    let counters = store.counters();
    let late = (first.len() + OLD.len() - accepted.len()) as u64;
    assert_eq!((counters.late, counters.divergence), (late, 0), "{counters:?}");
    ACCEPTED_BELOW.fetch_add(usize::from(late < OLD.len() as u64), Ordering::Relaxed);
    LATE_BELOW.fetch_add(usize::from(late > 0), Ordering::Relaxed);
}

#[test]
fn what_comes_below_a_boundary_while_it_is_drawn_is_in_the_view_or_late() {
    let tried = holds("what comes below a boundary while it is drawn is in the view or late", writers_below_a_boundary);
    let below = [&ACCEPTED_BELOW, &LATE_BELOW].map(|count| count.load(Ordering::Relaxed));
    assert!(tried < 100 || below.iter().all(|count| *count > 0), "of {tried} lives: {below:?}");
}

/// Those who wait for the disk and for the flusher: each wait ends.
fn waiters() {
    let world = World::new();
    let store = world.open();
    let acknowledged = Acknowledged::default();
    let first: [&[u64]; 4] = [&[100, 101, 102, 103], &[104, 105, 106, 107], &[108, 109], &[110, 111, 112, 113]];
    let second: [&[u64]; 2] = [&[120, 121, 122, 123], &[124, 125, 126]];
    scope(|scope| {
        let (store, acknowledged) = (&store, &acknowledged);
        scope.spawn(move || first.iter().for_each(|batch| acknowledged.ingest(store, batch).unwrap()));
        scope.spawn(move || {
            for batch in second {
                acknowledged.ingest(store, batch).unwrap();
                store.flush().unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..3 {
                let counters = store.counters();
                assert_eq!(counters.received, counters.accepted);
                assert!(store.last_commit() > 0 || counters.received == 0);
                store.mark("none").unwrap();
                assert!(store.disk_bytes() > 0);
            }
        });
        scope.spawn(|| (0..3).for_each(|_| Seen::default().list(store).unwrap()));
    });
    store.flush().unwrap();
    acknowledged.each_was_accepted_once();
    is_fold_of(&store, &acknowledged.numbers());
}

#[test]
fn every_wait_for_the_disk_and_the_flusher_ends() {
    holds("every wait for the disk and the flusher ends", waiters);
}

/// The store is dropped or closed while the flusher may be at work; opened again, all is there.
fn the_end() {
    let world = World::new();
    let store = world.open();
    let acknowledged = Acknowledged::default();
    scope(|scope| {
        let (store, acknowledged) = (&store, &acknowledged);
        for batches in [[[100, 101, 102, 103], [104, 105, 106, 107]], [[102, 103, 108, 109], [110, 111, 112, 104]]] {
            scope.spawn(move || batches.iter().for_each(|batch| acknowledged.ingest(store, batch).unwrap()));
        }
        scope.spawn(|| _ = store.maintain(UPKEEP).unwrap());
    });
    match shuttle::rand::thread_rng().gen_bool(0.5) {
        true => store.close().unwrap(),
        false => drop(store),
    }
    // The tables can only be opened by one: nobody is at work on them any more.
    let store = world.open();
    acknowledged.each_was_accepted_once();
    is_fold_of(&store, &acknowledged.numbers());
}

#[test]
fn a_store_that_is_dropped_or_closed_beside_a_flush_opens_with_all_it_had() {
    holds("a store that is dropped or closed beside a flush opens with all it had", the_end);
}
