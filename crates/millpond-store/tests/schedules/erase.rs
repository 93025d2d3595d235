//! An erasure beside everything else.

use crate::scheduler::{holds, scope};
use crate::world::{Acknowledged, NOW, Seen, Told, World, follow_to_the_end, key};

const KEY: &str = "k0";

fn erasure() {
    let world = World::new();
    let store = world.open();
    let (acknowledged, told) = (Acknowledged::default(), Told::of(&store));
    acknowledged.ingest(&store, &[99, 100]).unwrap();
    let (first, second): ([&[u64]; 2], [&[u64]; 2]) = ([&[102, 103, 105], &[106, 107, 108]], [&[105, 104], &[99, 111]]);
    let erased = scope(|scope| {
        let (store, acknowledged) = (&store, &acknowledged);
        let writers = [first, second].map(|batches| {
            scope.spawn(move || batches.iter().for_each(|batch| acknowledged.ingest(store, batch).unwrap()))
        });
        let eraser = scope.spawn(|| store.erase(KEY, NOW).unwrap().unwrap());
        let upkeep = scope.spawn(|| {
            if store.owes_compaction() {
                store.compact_owed().unwrap();
            }
        });
        scope.spawn(|| {
            for number in [99, 100, 102] {
                // What is erased begins anew.
                Seen::default().key(store, &key(number)).unwrap();
                Seen::default().list(store).unwrap();
                store.rows(&key(number)).unwrap();
            }
        });
        scope.spawn(|| follow_to_the_end(store, &told));
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        upkeep.join().unwrap();
        let erased = eraser.join().unwrap();
        told.end();
        erased
    });
    assert!(erased.view && erased.compacted && !store.owes_compaction(), "{erased:?}");
    for of in [KEY, "k1", "k2"] {
        let there = store.view(of).unwrap().map_or(0, |view| view.events);
        let gone = if of == KEY { erased.events } else { 0 };
        assert_eq!(there + gone, acknowledged.accepted(of), "{of}: {erased:?}");
    }
    assert_eq!(store.verify(|difference| panic!("{difference:?}"), |_| {}).unwrap().differences, 0);
    let documents = store.documents("", None, usize::MAX).unwrap();
    drop(store);
    assert_eq!(world.open().documents("", None, usize::MAX).unwrap(), documents);
}

/// An erasure was told of after it had let the next writer in: a listener heard of commit 4 and then of 3, and a
/// server's count of commits went back.
fn in_order() {
    let world = World::new();
    let store = world.open();
    let (acknowledged, told) = (Acknowledged::default(), Told::of(&store));
    acknowledged.ingest(&store, &[99, 100]).unwrap();
    scope(|scope| {
        scope.spawn(|| store.erase(KEY, NOW).unwrap().unwrap());
        scope.spawn(|| (101..104).for_each(|number| acknowledged.ingest(&store, &[number]).unwrap()));
    });
    assert_eq!(told.last(), store.last_commit());
}

#[test]
fn who_listens_is_told_of_commits_in_their_order() {
    holds("who listens is told of commits in their order", in_order);
}

#[test]
fn an_erasure_beside_writers_and_readers_takes_what_was_there_and_nothing_else() {
    holds("an erasure beside writers and readers takes what was there and nothing else", erasure);
}
