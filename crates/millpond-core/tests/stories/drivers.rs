//! What the drivers owe beyond the stories: what they read, what they write, and what they tell of it.

use std::sync::Mutex;

use millpond_core::process::trigger::is_compared;
use millpond_core::process::trim::trim_archived;
use millpond_core::process::verified;
use millpond_core::snapshot::Snapshot;
use millpond_core::store::Written;
use millpond_core::view::Folded;
use millpond_core::{Fingerprint, State};

use super::*;

fn view(store: &impl Store, key: &str) -> Option<View> {
    block_on(store.view(key)).expect("memory does not fail")
}

/// Writes a view as nobody should.
fn tamper(store: &impl Store, key: &str, change: impl FnOnce(&mut View)) {
    let stored = view(store, key).expect("there is a view");
    let mut next = View { version: stored.version + 1, ..stored.clone() };
    change(&mut next);
    assert!(matches!(block_on(store.put_view(key, Some(&stored), &next)), Ok(Written::Done)));
}

fn order_of(user: &str, id: &str, at: u64) -> String {
    order(id, at).replace("u1", user)
}

/// A row that is stored, and whose trigger has not run.
fn row_of(store: &impl Store, user: &str, id: &str, at: u64) -> Row {
    let outcomes = block_on(consume(store, &join(), order_of(user, id, at).as_bytes(), at, Boundary::Snapshot));
    match outcomes.expect("memory does not fail").remove(0) {
        Outcome::Accepted { row, .. } => row,
        other => panic!("{other:?}"),
    }
}

fn triggered(store: &impl Store, user: &str, rows: &[Row]) -> Triggered {
    block_on(trigger(store, &join(), user, rows)).expect("nobody else writes for long")
}

/// Orders counted in another way.
fn redefined() -> Join {
    let text = DEFINITION.replace("{ count = \"order-submitted\" }", "{ count = \"user-loggedIn\" }");
    Join::parse(&text).expect("the definition is right")
}

#[test]
fn a_refold_brings_rows_that_no_trigger_was_given() {
    let store = Watched::default();
    let mut before = None;
    for count in 1..=3 {
        let _ = accepted(take(&store, &order(&format!("o{count}"), T + count), T + count));
        // Where no rows are given, none of them shows that an old view is enough.
        store.glances(before);
        before = view(&store, "u1");
        let done = block_on(refold(&store, &join(), "u1")).expect("nobody else writes");
        assert_eq!((done.written, done.refolded, done.conflicts), (true, true, 0));
        shows(&store, "**NOT SET**", 0, count);
    }
}

#[test]
fn a_refold_builds_on_no_snapshot_of_another_definition() {
    let store = MemoryStore::default();
    (0..3).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    assert_eq!(close(&store, T + WEEK + HOUR).events, 3);
    let join = redefined();
    let done = block_on(refold(&store, &join, "u1")).expect("history is whole");
    assert!(done.written && done.refolded);
    let view = view(&store, "u1").expect("there is a view");
    assert_eq!((view.events, &view.snapshot, view.fingerprint), (3, &None, join.fingerprint()));
    assert_eq!(
        view.state.document(&join, "u1"),
        r#"{"id":"u1","name":"**NOT SET**","lastLogin":0,"recentOrderCount":0}"#
    );
}

#[test]
fn a_glance_is_enough_for_what_is_next_and_an_old_one_is_found_out() {
    let store = Watched::default();
    send(&store, &order("o1", T), T);
    let first = view(&store, "u1");
    store.glances(first);
    let second = accepted(take(&store, &order("o2", T + 1), T + 1));
    store.calls();
    assert_eq!(bring_up_to_date(&store, &[second]).conflicts, 0);
    assert_eq!(store.calls(), Calls { views_written: 1, ..Calls::default() });
    // By now it is an old one.
    let third = accepted(take(&store, &order("o3", T + 2), T + 2));
    store.calls();
    assert_eq!(bring_up_to_date(&store, &[third]).conflicts, 1);
    assert_eq!(store.calls(), Calls { views_read: 1, views_written: 2, ..Calls::default() });
    store.glances(None);
    shows(&store, "**NOT SET**", 0, 3);
}

#[test]
fn nothing_else_rests_on_a_glance() {
    type Change = fn(&mut View);
    let glances: [(Change, u64); 4] = [
        (|view| view.fingerprint = Fingerprint::default(), T + 5),
        (|view| view.behind = true, T + 5),
        (|_| (), T - 1),
        (|view| view.folded_to = Position::new(T + 5, "o2"), T + 5),
    ];
    for (change, at) in glances {
        let store = Watched::default();
        send(&store, &order("o1", T), T);
        let mut glanced = view(&store, "u1").expect("there is a view");
        change(&mut glanced);
        store.glances(Some(glanced));
        let row = accepted(take(&store, &order("o2", at), T + 5));
        store.calls();
        assert_eq!(bring_up_to_date(&store, &[row]).conflicts, 0);
        assert_eq!(store.calls().views_read, 1, "{at}");
        store.glances(None);
        shows(&store, "**NOT SET**", 0, 2);
    }
}

/// A key whose fourth write of a view is compared with a refold.
fn compared_at_four() -> String {
    let is_chosen = |key: &String| is_compared(key, 4, 3);
    (0..).map(|n| format!("user-{n}")).find(is_chosen).expect("one key in 256 is")
}

#[test]
fn comparing_finds_out_a_view_that_is_not_the_fold_of_its_rows() {
    type Change = fn(&mut View);
    let nothing: Change = |view| view.state = State::empty(&join());
    let less: Change = |view| view.events -= 1;
    let more: Change = |view| view.events += 1;
    let right: Change = |_| ();
    // One that counts fewer events may only be behind.
    for (change, diverges) in [(nothing, true), (more, true), (less, false), (right, false)] {
        let (store, key) = (MemoryStore::default(), compared_at_four());
        for n in 0..2 {
            let row = row_of(&store, &key, &format!("o{n}"), T + n);
            triggered(&store, &key, &[row]);
        }
        tamper(&store, &key, change);
        let row = row_of(&store, &key, "o2", T + 2);
        let done = triggered(&store, &key, &[row]);
        assert_eq!((done.written, done.refolded, done.diverged), (true, false, diverges));
        assert_eq!(view(&store, &key).map(|view| (view.version, view.events)), Some((4, 3)));
        assert_eq!(block_on(verified(&store, &join(), &key)).expect("rows are events"), [], "the refold was written");
    }
}

#[test]
fn comparing_takes_in_rows_whose_own_trigger_is_due() {
    let (store, key) = (MemoryStore::default(), compared_at_four());
    for n in 0..2 {
        let row = row_of(&store, &key, &format!("o{n}"), T + n);
        triggered(&store, &key, &[row]);
    }
    tamper(&store, &key, |_| ());
    row_of(&store, &key, "due", T + 2);
    let row = row_of(&store, &key, "o3", T + 3);
    let done = triggered(&store, &key, &[row]);
    assert!(done.written && !done.diverged);
    assert_eq!(view(&store, &key).map(|view| view.events), Some(4));
}

#[test]
fn verified_names_what_is_wrong_in_a_stored_view() {
    let store = MemoryStore::default();
    let named = || -> Vec<String> {
        let differences = block_on(verified(&store, &join(), "u1")).expect("rows are events");
        differences.into_iter().map(|difference| difference.what).collect()
    };
    assert_eq!(named(), [""; 0], "there is no such key");
    send(&store, &order("o1", T), T);
    assert_eq!(named(), [""; 0]);
    tamper(&store, "u1", |view| view.events += 1);
    assert_eq!(named(), ["events"]);
}

/// All of it by one query: a page that says that it is the last is not asked for a next one.
#[test]
fn a_page_that_is_the_last_is_the_last() {
    let store = Watched::default();
    send(&store, &order("o1", T), T);
    (0..3).for_each(|n| drop(accepted(take(&store, &order(&format!("p{n}"), T + n), T + n))));
    store.calls();
    block_on(refold(&store, &join(), "u1")).expect("nobody else writes");
    assert_eq!(
        store.calls(),
        Calls { views_read: 1, views_written: 1, pages_read: 1, rows_read: 4, ..Calls::default() }
    );
    close(&store, T + WEEK + HOUR);
    store.calls();
    assert_eq!(cut(&store), Trimmed { deleted: 4, left: 0 });
    assert_eq!((store.calls().pages_read, rows(&store, None)), (1, vec![]));
}

/// A key that was erased, before `T + 9`.
fn erased() -> MemoryStore {
    let store = MemoryStore::default();
    let join = join();
    let snapshot = Snapshot { state: State::empty(&join), through: Position::new(T + 9, ""), events: 0, closed_at: T };
    let tombstone =
        View { version: 1, ..View::unstored(&join, Folded::from_snapshot(&join, Some(&snapshot)), Some(snapshot)) };
    assert_eq!(block_on(store.put_view("u1", None, &tombstone)), Ok(Written::Done));
    store
}

/// Rows of before the erasure, that a producer or a stream brings again.
fn come_again(store: &impl Store) -> Vec<Row> {
    let again: Vec<Row> = (0..2)
        .map(|n| Row { position: Position::new(T + n, "o"), put_at: T + HOUR, body: order("o", T + n).into() })
        .collect();
    again.iter().for_each(|row| drop(block_on(store.insert_row("u1", row)).expect("memory does not fail")));
    again
}

#[test]
fn erased_rows_that_come_again_are_counted_and_not_folded() {
    let store = erased();
    let again = come_again(&store);
    let done = bring_up_to_date(&store, &again);
    assert_eq!((done.erased, done.breaches, done.written), (2, 0, false));
    assert_eq!(store.late(), []);
    let newer = row_of(&store, "u1", "o9", T + HOUR);
    let done = bring_up_to_date(&store, &[again[0].clone(), newer]);
    assert_eq!((done.erased, done.written), (1, true));
    shows(&store, "**NOT SET**", 0, 1);
}

/// A changed definition builds on no snapshot of another one. So it forgot that a key was erased, and what came again
/// was folded.
#[test]
fn what_was_erased_stays_out_of_a_changed_definition() {
    let store = erased();
    let again = come_again(&store);
    send(&store, &order("o8", T + HOUR), T + HOUR);
    let text = DEFINITION
        .replace("\"**NOT SET**\"", "\"nobody\"")
        .replace("[view]", "[view]\nevents = { count = \"order-submitted\" }");
    let join = Join::parse(&text).expect("the definition is right");
    let done = block_on(trigger(&store, &join, "u1", &again)).expect("nobody else writes");
    assert_eq!((done.erased, done.written, done.refolded), (2, true, true));
    let folded = view(&store, "u1").expect("there is a view");
    assert_eq!((folded.fingerprint, folded.events), (join.fingerprint(), 1));
    assert_eq!(
        folded.state.document(&join, "u1"),
        r#"{"id":"u1","events":1,"name":"nobody","lastLogin":0,"recentOrderCount":1}"#
    );
    assert_eq!(block_on(verified(&store, &join, "u1")).expect("rows are events"), []);
    // Nor does a snapshot forget it, whoever folds first.
    let store = erased();
    come_again(&store);
    let now = T + WEEK + HOUR;
    let kept = block_on(snapshot(&store, &join, "u1", now, Closing::Elapsed)).expect("nobody else writes");
    assert_eq!((kept.closed, kept.trim_due, kept.events), (false, true, 0));
}

/// Another snapshot over that of an erasure does not know what was erased: a row that came again, and was not deleted
/// yet, would be history to whoever folds it all.
#[test]
fn what_came_again_is_gone_before_a_snapshot_lies_over_the_erasure() {
    let store = erased();
    let again = come_again(&store);
    bring_up_to_date(&store, &again);
    send(&store, &order("o8", T + HOUR), T + HOUR);
    let close = |now| block_on(snapshot(&store, &join(), "u1", now, Closing::Elapsed)).expect("nobody else writes");
    let now = T + WEEK + 2 * HOUR;
    assert_eq!(close(now), Snapshotted { closed: false, trim_due: true, events: 0, tail_events: 1 });
    assert_eq!(cut(&store), Trimmed { deleted: 2, left: 0 });
    // Nothing is left to trim, and nothing can be closed yet.
    assert_eq!(close(T + 2 * HOUR), Snapshotted { closed: false, trim_due: false, events: 0, tail_events: 1 });
    assert_eq!(close(now), Snapshotted { closed: true, trim_due: true, events: 1, tail_events: 0 });
    // No history is missing that anybody could want.
    let join = redefined();
    assert!(block_on(refold(&store, &join, "u1")).expect("history is whole").written);
    assert_eq!(view(&store, "u1").expect("there is a view").events, 1);
}

/// What came again was archived by the trim that was to remove it.
#[test]
fn what_came_again_is_deleted_and_not_archived() {
    let store = erased();
    let again = come_again(&store);
    bring_up_to_date(&store, &again);
    let done = block_on(trim_archived(&store, "u1", async |page: &[Row]| panic!("archived: {page:?}")));
    assert_eq!(done.expect("nobody else writes"), Trimmed { deleted: 2, left: 0 });
    assert_eq!((rows(&store, None), view(&store, "u1").expect("there is a view").trimmed_to), (vec![], None));
}

/// A row that was put at the very millisecond of its snapshot is in it: it was read.
#[test]
fn a_row_of_the_snapshots_own_millisecond_is_no_breach() {
    let store = MemoryStore::default();
    let now = T + WEEK + HOUR;
    let row = Row { position: Position::new(T, "o1"), put_at: now, body: order("o1", T).into() };
    block_on(store.insert_row("u1", &row)).expect("memory does not fail");
    let closed = block_on(snapshot(&store, &join(), "u1", now, Closing::Elapsed)).expect("nobody else writes");
    assert_eq!((closed.closed, closed.events), (true, 1));
    let done = bring_up_to_date(&store, &[row]);
    assert_eq!((done.breaches, store.late()), (0, vec![]));
}

#[test]
fn a_snapshot_with_nothing_to_close_tells_what_is_there() {
    let store = MemoryStore::default();
    (0..3).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    let now = T + WEEK + HOUR;
    assert_eq!(close(&store, now), Snapshotted { closed: true, trim_due: true, events: 3, tail_events: 0 });
    send(&store, &order("o9", now), now);
    let unchanged = |trim_due| Snapshotted { closed: false, trim_due, events: 3, tail_events: 1 };
    assert_eq!(close(&store, now), unchanged(true));
    cut(&store);
    assert_eq!(close(&store, now), unchanged(false));
}

#[test]
fn what_is_trimmed_was_archived_before() {
    let store = MemoryStore::default();
    (0..20).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    close(&store, T + WEEK + HOUR);
    let before = rows(&store, None);
    let archived = Mutex::new(Vec::new());
    let done = block_on(trim_archived(&store, "u1", async |page: &[Row]| {
        assert!(!page.is_empty() && page.iter().all(|row| rows(&store, None).contains(row)), "it is still there");
        archived.lock().expect("no test panics with the lock").extend(page.to_vec());
        Ok(())
    }));
    assert_eq!(done.expect("nobody else writes"), Trimmed { deleted: 20, left: 0 });
    assert_eq!(archived.into_inner().expect("no test panics with the lock"), before);
}

/// A trim that deleted before the view says so would leave a refold without its rows.
#[test]
fn a_trim_that_meets_another_writer_marks_the_view_before_it_deletes() {
    let store = Watched::default();
    (0..3).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    close(&store, T + WEEK + HOUR);
    store.meanwhile(|inner| send(inner, &order("o9", T + WEEK), T + WEEK));
    assert_eq!(cut(&store), Trimmed { deleted: 3, left: 0 });
    let view = view(&store, "u1").expect("there is a view");
    assert!(view.trimmed_to.is_some() && view.trimmed_to.as_ref() == view.through());
    shows(&store, "**NOT SET**", 0, 4);
}
