//! A failure beside everything else: nobody hangs, nobody goes on, and nobody has seen what a new
//! start does not find.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex as Plain;

use millpond_store::{Error, Store};

use crate::scheduler::{holds, scope};
use crate::world::{Acknowledged, Known, Seen, Told, World, event, follow, key};

/// Who met which failure that is not that of a stopped store.
#[derive(Default)]
struct Failures(Plain<Vec<Error>>);

impl Failures {
    /// Works for a few rounds, or until something fails.
    fn watch(&self, rounds: usize, mut work: impl FnMut(usize) -> Result<(), Error>) {
        let failed = (0..rounds).try_for_each(&mut work);
        if let Err(error) = failed
            && !matches!(error, Error::Stopped { .. })
        {
            self.0.lock().unwrap().push(error);
        }
    }
}

/// Everything that can be asked is refused.
fn is_stopped(store: &Store) {
    let event = event(500);
    let batch = millpond_store::Batch { events: &[event.as_bytes()], ..Default::default() };
    let refused = [
        store.ingest(&batch).map(drop),
        store.view("k0").map(drop),
        store.views("", None, 10).map(drop),
        store.changes(&millpond_store::Cursor::start(), &Default::default(), 10).map(drop),
        store.mark("none").map(drop),
        store.flush(),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::Stopped { .. })), "{refused:?}");
    }
}

/// Writers, readers and waiters, and somebody who lets something fail at some moment, which `mend` makes good. If
/// none of them has met it, a last commit and flush do. What they met.
fn all_beside(fail: impl Fn(&World, &Store) + Sync, mend: impl Fn(&World)) -> Vec<Error> {
    let world = World::new();
    let store = world.open();
    let (acknowledged, failures, told) = (Acknowledged::default(), Failures::default(), Told::of(&store));
    acknowledged.ingest(&store, &[90, 91, 92]).unwrap();
    let (mut looked, mut listed, mut known) = (Seen::default(), Seen::default(), Known::new());
    let mut counted = 0;
    scope(|scope| {
        let (store, acknowledged, failures, told) = (&store, &acknowledged, &failures, &told);
        let writers = [[100, 101, 102, 103], [102, 110, 111, 112]].map(|numbers| {
            scope.spawn(move || {
                failures.watch(4, |round| acknowledged.ingest(store, &numbers.map(|number| number + 3 * round as u64)));
            })
        });
        let flushes = scope.spawn(move || failures.watch(2, |_| store.flush()));
        let looked = &mut looked;
        scope.spawn(move || failures.watch(6, |round| looked.key(store, &key(round as u64)).map(drop)));
        let listed = &mut listed;
        scope.spawn(move || failures.watch(3, |_| listed.list(store)));
        let counted = &mut counted;
        scope.spawn(move || (0..6).for_each(|_| *counted = store.counters().accepted.max(*counted)));
        let known = &mut known;
        scope.spawn(move || failures.watch(1, |_| follow(store, told, known)));
        scope.spawn(|| fail(&world, store));
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        flushes.join().unwrap();
        told.end();
    });
    // Unless somebody has met it by now.
    failures.watch(1, |_| acknowledged.ingest(&store, &[200]));
    failures.watch(1, |_| store.flush());
    is_stopped(&store);
    drop(store);
    mend(&world);
    let store = world.open();
    let mut there = Seen::default();
    there.list(&store).unwrap();
    let ids: Vec<u64> = ["k0", "k1", "k2"].into_iter().flat_map(|of| there.key(&store, of).unwrap()).collect();
    let lost: Vec<u64> = acknowledged.numbers().into_iter().filter(|number| !ids.contains(number)).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged");
    assert!(looked.events.iter().all(|number| ids.contains(number)), "{looked:?}, and then {there:?}");
    assert!(counted <= store.counters().accepted, "{counted} were counted, and then {:?}", store.counters());
    let changes = known.into_iter().map(|(key, (version, document))| (key, (version, document.unwrap())));
    for (key, (version, document)) in changes.chain(looked.views).chain(listed.views) {
        let (last, now) = &there.views[&key];
        assert!(version < *last || (version == *last && document == *now), "{key} was seen at {version} of {last}");
    }
    assert_eq!(store.verify(|difference| panic!("{difference:?}"), |_| {}).unwrap().differences, 0);
    failures.0.into_inner().unwrap()
}

fn full_disk() {
    let met = all_beside(|_, store| store.fill_disk(), |_| {});
    // One has met it, and all others a stopped store.
    assert!(matches!(met.as_slice(), [Error::Io { what: "write", .. }]), "{met:?}");
}

#[test]
fn a_commit_that_cannot_be_written_stops_all_and_was_seen_by_nobody() {
    holds("a commit that cannot be written stops all and was seen by nobody", full_disk);
}

/// A folder that is taken away, and brought back.
fn without(folder: &'static str) -> Vec<Error> {
    let places =
        move |world: &World| -> (PathBuf, PathBuf) { (world.of_join().join(folder), world.of_join().join("away")) };
    let away = move |world: &World| {
        let (place, away) = places(world);
        fs::rename(place, away).unwrap();
    };
    let back = move |world: &World| {
        let (place, away) = places(world);
        fs::rename(away, place).unwrap();
    };
    all_beside(move |world, _| away(world), back)
}

fn no_new_segment() {
    for error in without("log") {
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
}

#[test]
fn a_log_that_cannot_go_on_stops_all_and_loses_nothing() {
    holds("a log that cannot go on stops all and loses nothing", no_new_segment);
}

fn no_new_table() {
    for error in without("tables") {
        assert!(matches!(error, Error::Tables { .. }), "{error}");
    }
}

#[test]
fn a_flush_that_fails_stops_all_and_loses_nothing() {
    holds("a flush that fails stops all and loses nothing", no_new_table);
}
