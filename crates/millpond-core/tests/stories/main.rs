//! Faults of the pattern's reference implementation, each as a story that must end well here,
//! through the drivers over the memory store. Each opens with what the reference did. What else the
//! drivers owe is in `drivers`.

mod drivers;
mod watched;

use millpond_core::event::EVENT_BYTES_MAX;
use millpond_core::memory::MemoryStore;
use millpond_core::process::consumer::{Boundary, Outcome, consume};
use millpond_core::process::snapshot::{Snapshotted, snapshot};
use millpond_core::process::trigger::{Triggered, refold, trigger};
use millpond_core::process::trim::{Trimmed, trim};
use millpond_core::process::{ATTEMPTS_MAX, Error};
use millpond_core::snapshot::Closing;
use millpond_core::store::{Row, Store};
use millpond_core::verify::verify;
use millpond_core::{Join, Position, Reason, View};
use pollster::block_on;
use watched::{Calls, Watched};

const DEFINITION: &str = r#"
name     = "user-activity"
lateness = "7d"
snapshot_every = 100

[key]
"user-created"    = "user.id"
"user-loggedIn"   = "user.id"
"order-submitted" = "order.userId"

[view]
name             = { latest = "user.name", of = "user-created", default = "**NOT SET**" }
lastLogin        = { max = "timestamp", of = "user-loggedIn", default = 0 }
recentOrderCount = { count = "order-submitted" }
"#;

const T: u64 = 1_760_000_000_000;
const HOUR: u64 = 3_600_000;
const WEEK: u64 = 7 * 24 * HOUR;

fn join() -> Join {
    Join::parse(DEFINITION).expect("the definition is right")
}

fn created(id: &str, at: u64, name: &str) -> String {
    format!(r#"{{"id":"{id}","type":"user-created","timestamp":{at},"user":{{"id":"u1","name":"{name}"}}}}"#)
}

fn login(id: &str, at: u64) -> String {
    format!(r#"{{"id":"{id}","type":"user-loggedIn","timestamp":{at},"user":{{"id":"u1"}}}}"#)
}

fn order(id: &str, at: u64) -> String {
    format!(r#"{{"id":"{id}","type":"order-submitted","timestamp":{at},"order":{{"userId":"u1"}}}}"#)
}

/// Consumes at `now`; a new row is not triggered yet.
fn take(store: &impl Store, text: &str, now: u64) -> Outcome {
    take_bytes(store, text.as_bytes(), now, Boundary::Snapshot)
}

fn take_bytes(store: &impl Store, bytes: &[u8], now: u64, boundary: Boundary) -> Outcome {
    let mut outcomes = block_on(consume(store, &join(), bytes, now, boundary)).expect("memory does not fail");
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

fn accepted(outcome: Outcome) -> Row {
    let Outcome::Accepted { row, key } = outcome else { panic!("{outcome:?}") };
    assert_eq!(&*key, "u1");
    row
}

fn bring_up_to_date(store: &impl Store, rows: &[Row]) -> Triggered {
    block_on(trigger(store, &join(), "u1", rows)).expect("nobody else writes for long")
}

/// Consumes at the event's own time or `now`, and triggers.
fn send(store: &impl Store, text: &str, now: u64) {
    let row = accepted(take(store, text, now));
    bring_up_to_date(store, &[row]);
}

fn close(store: &impl Store, now: u64) -> Snapshotted {
    block_on(snapshot(store, &join(), "u1", now, Closing::Settled)).expect("nobody else writes for long")
}

fn cut(store: &impl Store) -> Trimmed {
    block_on(trim(store, "u1")).expect("nobody else writes for long")
}

fn document(store: &impl Store) -> String {
    let view = block_on(store.view("u1")).expect("memory does not fail").expect("there is a view");
    view.state.document(&join(), "u1")
}

fn shows(store: &impl Store, name: &str, last_login: u64, orders: u64) {
    let expected = format!(r#"{{"id":"u1","name":"{name}","lastLogin":{last_login},"recentOrderCount":{orders}}}"#);
    assert_eq!(document(store), expected);
    let view = block_on(store.view("u1")).expect("memory does not fail").expect("there is a view");
    let tail = rows(store, view.through());
    assert_eq!(verify(&join(), &view, &tail), Ok(vec![]), "the view is the fold of its snapshot and tail");
    assert_eq!(view.tail_events(), tail.len() as u64);
}

fn rows(store: &impl Store, after: Option<&Position>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|row| &row.position).or(after);
        let page = block_on(store.rows("u1", after, None)).expect("memory does not fail");
        rows.extend(page.rows);
        if !page.more {
            return rows;
        }
    }
}

/// The reference does not page its query: 80 orders showed as 52, for ever.
#[test]
fn a_key_with_more_than_a_megabyte_of_events_shows_all_of_them() {
    let store = MemoryStore::default();
    let padding = "x".repeat(20_000);
    let rows: Vec<Row> = (0..80)
        .map(|n| {
            let text = order(&format!("o{n}"), T + n).replacen('{', &format!("{{\"note\":\"{padding}\","), 1);
            accepted(take(&store, &text, T + n))
        })
        .collect();
    assert!(rows.iter().map(|row| row.body.len()).sum::<usize>() > 1_500_000);
    let done = bring_up_to_date(&store, &rows[79..]);
    assert!(done.refolded, "there was no view: all pages are read");
    shows(&store, "**NOT SET**", 0, 80);
    assert_eq!(close(&store, T + WEEK + HOUR).events, 80);
    shows(&store, "**NOT SET**", 0, 80);
}

/// The reference puts all deletions into one BatchWriteItem: ValidationException, nothing deleted.
#[test]
fn trim_deletes_more_than_25_rows() {
    let store = Watched::default();
    (0..60).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    close(&store, T + WEEK + HOUR);
    assert_eq!(cut(&store), Trimmed { deleted: 60, left: 0 });
    assert_eq!(rows(&store, None), []);
    shows(&store, "**NOT SET**", 0, 60);
}

/// The reference ignores unprocessed deletions: the rows stay.
#[test]
fn deletions_that_the_store_leaves_are_tried_again() {
    let store = Watched::default();
    (0..30).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    close(&store, T + WEEK + HOUR);
    store.leave_undone(3, 4);
    assert_eq!(cut(&store), Trimmed { deleted: 30, left: 0 });
    assert_eq!(rows(&store, None), []);
}

#[test]
fn deletions_that_never_succeed_are_told_and_go_with_the_next_trim() {
    let store = Watched::default();
    (0..30).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    close(&store, T + WEEK + HOUR);
    store.leave_undone(usize::MAX, 8);
    let done = cut(&store);
    assert!(done.left > 0 && done.deleted + done.left == 30, "{done:?}");
    assert_eq!(rows(&store, None).len() as u64, done.left);
    shows(&store, "**NOT SET**", 0, 30);
    assert_eq!(cut(&store), Trimmed { deleted: done.left, left: 0 });
}

/// A producer that retries leaves two records with two sequence numbers: the reference counts both.
#[test]
fn an_event_that_its_producer_sent_twice_is_counted_once() {
    let store = MemoryStore::default();
    let row = accepted(take(&store, &order("o1", T), T));
    bring_up_to_date(&store, std::slice::from_ref(&row));
    assert_eq!(take(&store, &order("o1", T), T + 5), Outcome::Duplicate);
    let respelled = order("o1", T).replace(':', " : ").replace("order-submitted", "order\\u002dsubmitted");
    assert_eq!(take(&store, &respelled, T + 6), Outcome::Duplicate);
    bring_up_to_date(&store, &[row.clone(), row.clone()]);
    bring_up_to_date(&store, &[row]);
    shows(&store, "**NOT SET**", 0, 1);
    let newer = accepted(take(&store, &order("o2", T + 1), T + 6));
    let done = bring_up_to_date(&store, &[newer.clone(), newer]); // one change record, twice in a batch
    assert!(!done.refolded);
    shows(&store, "**NOT SET**", 0, 2);
}

#[test]
fn another_event_at_the_same_place_is_quarantined_and_not_merged() {
    let store = MemoryStore::default();
    send(&store, &order("o1", T), T);
    let outcome = take(&store, &order("o1", T).replace("\"order\":", "\"total\":5,\"order\":"), T);
    assert!(matches!(outcome, Outcome::Quarantined(rejection) if rejection.reason == Reason::Conflict));
    shows(&store, "**NOT SET**", 0, 1);
}

/// The reference's snapshot ends at a sequence: an event of a newer time that got a lower sequence
/// was lost, and then trimmed.
#[test]
fn a_newer_event_that_arrives_before_an_older_one_is_counted() {
    let store = MemoryStore::default();
    send(&store, &order("newer", T + HOUR), T + HOUR);
    send(&store, &order("older", T), T + 2 * HOUR);
    assert_eq!(close(&store, T + WEEK + HOUR).events, 0, "the older one was put too lately to be closed");
    assert_eq!(close(&store, T + WEEK + 3 * HOUR).events, 2);
    cut(&store);
    shows(&store, "**NOT SET**", 0, 2);
}

/// The reference makes its snapshot at one shard's sequence: what the other brings next is lost.
#[test]
fn an_event_from_the_other_shard_after_a_snapshot_is_counted() {
    let store = MemoryStore::default();
    send(&store, &order("shard 1, a", T), T);
    send(&store, &order("shard 1, b", T + WEEK), T + WEEK);
    assert_eq!(close(&store, T + WEEK + HOUR).events, 1);
    // Slower, a day older than what is there, and above the boundary.
    send(&store, &order("shard 2", T + WEEK - 24 * HOUR), T + WEEK + HOUR);
    shows(&store, "**NOT SET**", 0, 3);
    assert_eq!(close(&store, T + 3 * WEEK).events, 3);
    cut(&store);
    shows(&store, "**NOT SET**", 0, 3);
}

/// Bad JSON, `null`, a body without user or order, an id `""` or a number: the reference's batch
/// blocks, and innocent keys are missing.
#[test]
fn poison_is_quarantined_and_its_neighbours_go_on() {
    let store = MemoryStore::default();
    let poison = [
        ("{\"id\":".to_owned(), Reason::InvalidJson),
        ("null".to_owned(), Reason::NotAnObject),
        (format!(r#"{{"id":"p","type":"user-created","timestamp":{T}}}"#), Reason::InvalidKey),
        (format!(r#"{{"id":"p","type":"order-submitted","timestamp":{T},"order":null}}"#), Reason::InvalidKey),
        (order("", T), Reason::InvalidId),
        (order("p", T).replace("\"p\"", "17"), Reason::InvalidId),
        (order("p", T).replace("\"u1\"", "17"), Reason::InvalidKey),
        (order("p", T).replace("\"u1\"", "\"\""), Reason::InvalidKey),
    ];
    for (n, (text, reason)) in (0..).zip(&poison) {
        let outcome = take(&store, text, T);
        assert!(
            matches!(&outcome, Outcome::Quarantined(rejection) if rejection.reason == *reason),
            "{text}: {outcome:?}"
        );
        send(&store, &order(&format!("o{n}"), T + n), T + n);
    }
    shows(&store, "**NOT SET**", 0, poison.len() as u64);
    assert_eq!(store.quarantined().len(), poison.len());
}

/// A created event without a name, a login without a timestamp: the reference's trigger blocks.
#[test]
fn events_without_what_a_field_wants_leave_its_default() {
    let store = MemoryStore::default();
    send(&store, &created("c1", T, "x").replace(",\"name\":\"x\"", ""), T);
    let outcome = take(&store, &login("l1", T).replace(&format!("\"timestamp\":{T},"), ""), T);
    assert!(matches!(outcome, Outcome::Quarantined(rejection) if rejection.reason == Reason::InvalidTimestamp));
    send(&store, &order("o1", T), T);
    shows(&store, "**NOT SET**", 0, 1);
    send(&store, &created("c0", T - 1, "Fred User"), T);
    shows(&store, "Fred User", 0, 1);
}

/// A snapshot without a created or a login event: the reference's trigger then writes an undefined
/// attribute, and blocks.
#[test]
fn a_snapshot_without_some_types_keeps_their_defaults() {
    let store = MemoryStore::default();
    send(&store, &order("o1", T), T);
    assert!(close(&store, T + WEEK + HOUR).closed);
    cut(&store);
    send(&store, &order("o2", T + WEEK), T + WEEK + HOUR);
    shows(&store, "**NOT SET**", 0, 2);
    send(&store, &login("l1", T + WEEK), T + WEEK + HOUR);
    send(&store, &created("c1", T + WEEK, "Fred User"), T + WEEK + HOUR);
    shows(&store, "Fred User", T + WEEK, 2);
}

/// A snapshot before the view's row exists: TypeError in the reference.
#[test]
fn a_snapshot_before_the_view_makes_it_or_does_nothing() {
    let store = MemoryStore::default();
    assert_eq!(close(&store, T), Snapshotted::default());
    assert_eq!(cut(&store), Trimmed::default());
    assert_eq!(store.keys(), Vec::<String>::new());

    let row = accepted(take(&store, &order("o1", T), T)); // its trigger has not run yet
    assert_eq!(close(&store, T + WEEK + HOUR), Snapshotted { closed: true, trim_due: true, events: 1, tail_events: 0 });
    shows(&store, "**NOT SET**", 0, 1);
    cut(&store);
    let done = bring_up_to_date(&store, &[row]);
    assert_eq!(done, Triggered::default(), "the snapshot holds it already");
    shows(&store, "**NOT SET**", 0, 1);
}

/// Two snapshots race, then a trim: 3 instead of 4 in the reference.
#[test]
fn two_snapshots_that_race_lose_nothing() {
    let store = Watched::default();
    (0..3).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    let row = accepted(take(&store, &order("o3", T + 3), T + 3));
    // While the first snapshot, which saw 4 rows, is about to be written, another one is written,
    // its trim runs, and the trigger of the last row.
    store.meanwhile(move |inner| {
        assert_eq!(close(inner, T + WEEK + 3).events, 3);
        assert_eq!(cut(inner).deleted, 3);
        bring_up_to_date(inner, &[row]);
    });
    assert_eq!(close(&store, T + WEEK + HOUR).events, 4);
    cut(&store);
    assert_eq!(rows(&store, None), []);
    shows(&store, "**NOT SET**", 0, 4);
}

/// A trigger that read the view before a trim: the reference overwrites it with defaults and a
/// count of 1.
#[test]
fn a_view_that_was_read_before_a_trim_is_refused_by_its_version() {
    for is_newest in [true, false] {
        let store = Watched::default();
        send(&store, &created("c1", T, "Fred User"), T);
        (0..5).for_each(|n| send(&store, &order(&format!("o{n}"), T + 9 + n), T + 9 + n));
        let at = if is_newest { T + WEEK } else { T + 10 };
        let row = accepted(take(&store, &order("another", at), T + WEEK));
        store.meanwhile(|inner| {
            // Closes what is below o1: the new row has not been put long enough to be closed.
            assert!(close(inner, T + WEEK + HOUR).closed);
            assert!(cut(inner).deleted > 0);
        });
        store.calls();
        let done = bring_up_to_date(&store, &[row]);
        assert!(done.written && done.refolded, "the snapshot has folded the new row meanwhile: {done:?}");
        assert_eq!(store.calls().views_written, 2, "the first write was a conflict");
        shows(&store, "Fred User", 0, 6);
    }
}

#[test]
fn a_key_that_others_change_all_the_time_is_given_back_unchanged() {
    let store = Watched::default();
    send(&store, &order("o0", T), T);
    let row = accepted(take(&store, &order("o1", T + 1), T + 1));
    for _ in 0..ATTEMPTS_MAX {
        store.meanwhile(|inner| {
            let view = block_on(inner.view("u1")).expect("memory does not fail").expect("there is a view");
            let next = View { version: view.version + 1, ..view.clone() };
            block_on(inner.put_view("u1", Some(&view), &next)).expect("memory does not fail");
        });
    }
    let outcome = block_on(trigger(&store, &join(), "u1", std::slice::from_ref(&row)));
    assert!(matches!(&outcome, Err(Error::Contended { key }) if key == "u1"), "{outcome:?}");
    bring_up_to_date(&store, &[row]);
    shows(&store, "**NOT SET**", 0, 2);
}

/// An event over 400 KB blocks the reference.
#[test]
fn an_event_too_large_is_quarantined() {
    let store = MemoryStore::default();
    let large = order("o1", T).replacen('{', &format!("{{\"note\":\"{}\",", "x".repeat(EVENT_BYTES_MAX)), 1);
    let outcome = take(&store, &large, T);
    assert!(matches!(outcome, Outcome::Quarantined(rejection) if rejection.reason == Reason::TooLarge));
    send(&store, &order("o2", T), T);
    shows(&store, "**NOT SET**", 0, 1);
}

/// A snapshot's row over 400 KB blocks the reference.
#[test]
fn a_state_too_large_is_marked_and_its_key_goes_on() {
    let join = Join::parse("name='notes'\nkey.note='user'\nview.notes={list='text',last=1000}\nview.n={count='note'}")
        .expect("the definition is right");
    let store = MemoryStore::default();
    for n in 0..30u64 {
        let text = "x".repeat(10_000);
        let event = format!(r#"{{"id":"n{n}","type":"note","timestamp":{},"user":"u1","text":"{text}"}}"#, T + n);
        let outcomes = block_on(consume(&store, &join, event.as_bytes(), T + n, Boundary::Snapshot)).unwrap();
        let [Outcome::Accepted { key, row }] = &outcomes[..] else { panic!("{outcomes:?}") };
        block_on(trigger(&store, &join, key, std::slice::from_ref(row))).unwrap();
    }
    let done = block_on(snapshot(&store, &join, "u1", T + WEEK + HOUR, Closing::Settled)).unwrap();
    assert_eq!(done.events, 30);
    let view = block_on(store.view("u1")).unwrap().unwrap();
    assert!(view.state.document(&join, "u1").ends_with("\"n\":30,\"_overflow\":true}"));
}

/// An older login after a newer one: the reference's lastLogin goes back.
#[test]
fn an_older_login_does_not_turn_the_last_login_back() {
    let store = MemoryStore::default();
    send(&store, &login("l2", T + HOUR), T + HOUR);
    send(&store, &login("l1", T), T + HOUR);
    shows(&store, "**NOT SET**", T + HOUR, 0);
    send(&store, &created("c2", T + 2, "New Name"), T + HOUR);
    send(&store, &created("c1", T + 1, "Old Name"), T + HOUR);
    shows(&store, "New Name", T + HOUR, 0);
}

/// 100 change records of one key in a batch: 100 queries, 10,099 items read and 100 writes in the
/// reference.
#[test]
fn a_hundred_changes_of_a_key_are_one_read_and_one_write() {
    let store = Watched::default();
    send(&store, &created("c1", T, "Fred User"), T);
    let rows: Vec<Row> = (1..=100).map(|n| accepted(take(&store, &order(&format!("o{n}"), T + n), T + n))).collect();
    store.calls();
    let done = bring_up_to_date(&store, &rows);
    assert_eq!(done, Triggered { written: true, wants_snapshot: true, ..Triggered::default() });
    assert_eq!(store.calls(), Calls { views_read: 1, views_written: 1, ..Calls::default() });
    shows(&store, "Fred User", 0, 100);

    let rows: Vec<Row> = (1..=100).map(|n| accepted(take(&store, &login(&format!("l{n}"), T + n), T + n))).collect();
    store.calls();
    let done = bring_up_to_date(&store, &rows);
    assert!(done.refolded, "they are among what is folded already");
    let calls = store.calls();
    assert_eq!((calls.views_read, calls.views_written, calls.rows_read), (1, 1, 201));
    shows(&store, "Fred User", T + 100, 100);
}

/// The reference's snapshot saves no reads: its query has no lower bound.
#[test]
fn after_a_snapshot_only_the_tail_is_read() {
    let store = Watched::default();
    (0..50).for_each(|n| send(&store, &order(&format!("o{n}"), T + n), T + n));
    close(&store, T + WEEK + HOUR);
    for n in 0..3 {
        send(&store, &order(&format!("p{n}"), T + WEEK + n), T + WEEK + HOUR);
    }
    let row = accepted(take(&store, &order("before p", T + WEEK - 1), T + WEEK + HOUR));
    store.calls();
    assert!(bring_up_to_date(&store, &[row]).refolded);
    assert_eq!(store.calls().rows_read, 4);
    assert_eq!(close(&store, T + 3 * WEEK).events, 54);
    assert_eq!(store.calls().rows_read, 4);
    shows(&store, "**NOT SET**", 0, 54);
}

/// Deletions wake the reference's trigger, once each; should one wake ours, it has nothing to do.
#[test]
fn a_trigger_woken_by_a_trim_writes_nothing() {
    let store = Watched::default();
    let rows: Vec<Row> = (0..10).map(|n| accepted(take(&store, &order(&format!("o{n}"), T + n), T + n))).collect();
    bring_up_to_date(&store, &rows);
    close(&store, T + WEEK + HOUR);
    cut(&store);
    store.calls();
    assert_eq!(bring_up_to_date(&store, &rows), Triggered::default());
    assert_eq!(store.calls(), Calls { views_read: 1, ..Calls::default() });
}

/// A consumer that replays its stream after a trim: the rows come back in the reference.
#[test]
fn events_replayed_after_a_trim_are_never_counted_twice() {
    let store = MemoryStore::default();
    let history: Vec<String> = (0..40).map(|n| order(&format!("o{n}"), T + n * HOUR)).collect();
    for text in &history {
        send(&store, text, T + 40 * HOUR);
    }
    assert_eq!(close(&store, T + WEEK + 40 * HOUR).events, 0, "put at the boundary, not before it");
    assert_eq!(close(&store, T + WEEK + 41 * HOUR).events, 40);
    let replayed: Vec<Outcome> = history.iter().map(|text| take(&store, text, T + WEEK + 42 * HOUR)).collect();
    assert!(replayed.iter().all(|outcome| *outcome == Outcome::Duplicate), "the rows are still there to compare with");
    cut(&store);
    for expected in [Outcome::Late, Outcome::Duplicate] {
        for text in &history {
            assert_eq!(take(&store, text, T + WEEK + 43 * HOUR), expected);
        }
    }
    assert_eq!(rows(&store, None), []);
    assert_eq!(store.late().len(), 40, "visible in the late queue");
    shows(&store, "**NOT SET**", 0, 40);
}

/// The reference drops unknown types without a word.
#[test]
fn an_unknown_type_is_ignored_and_told() {
    let store = MemoryStore::default();
    let unknown = order("o1", T).replace("order-submitted", "order-cancelled");
    assert_eq!(take(&store, &unknown, T), Outcome::Ignored);
    assert_eq!(rows(&store, None), []);
    assert_eq!(store.quarantined(), []);
}

/// Many writers close by the clock: what the consumer still accepts, no snapshot may have closed.
#[test]
fn by_the_clock_the_consumer_refuses_a_margin_before_the_snapshot_closes() {
    let store = MemoryStore::default();
    let boundary = Boundary::Clock { margin_ms: HOUR };
    let now = T + WEEK;
    let take_at = |at: u64| take_bytes(&store, order(&format!("o{at}"), at).as_bytes(), now, boundary);
    assert_eq!(take_at(T), Outcome::Late);
    assert_eq!(take_at(T + HOUR - 1), Outcome::Late);
    // At the very millisecond, ids (never empty) lie above the boundary's empty one.
    let row = accepted(take_at(T + HOUR));
    bring_up_to_date(&store, &[row]);
    let by_the_clock = |now: u64| block_on(snapshot(&store, &join(), "u1", now, Closing::Elapsed)).unwrap();
    assert!(!by_the_clock(now + HOUR).closed, "accepted a moment ago, and its write may take the margin");
    assert!(by_the_clock(now + HOUR + 1).closed);
    assert_eq!(take_bytes(&store, order("x", T + HOUR).as_bytes(), now + HOUR + 1, boundary), Outcome::Late);
    shows(&store, "**NOT SET**", 0, 1);
}

#[test]
fn a_row_that_lands_below_a_snapshot_made_before_it_is_told_and_kept() {
    let store = MemoryStore::default();
    send(&store, &order("o1", T), T);
    block_on(snapshot(&store, &join(), "u1", T + WEEK + HOUR, Closing::Elapsed)).unwrap();
    // A write that was under way for longer than the margin.
    let row =
        Row { position: Position::new(T - 1, "slow"), put_at: T + WEEK + 2 * HOUR, body: order("slow", T - 1).into() };
    block_on(store.insert_row("u1", &row)).unwrap();
    let done = bring_up_to_date(&store, std::slice::from_ref(&row));
    assert_eq!(done, Triggered { breaches: 1, ..Triggered::default() });
    assert_eq!(store.late().len(), 1);
    shows(&store, "**NOT SET**", 0, 1);
}

#[test]
fn a_changed_definition_refolds_history_or_refuses_where_it_is_trimmed() {
    let store = MemoryStore::default();
    send(&store, &order("o1", T), T);
    send(&store, &order("o2", T + 1), T + 1);
    let changed =
        Join::parse(&DEFINITION.replace("[view]", "[view]\nordered = { exists = \"order-submitted\" }")).unwrap();
    let row = accepted(take(&store, &login("l1", T + 2), T + 2));
    let done = block_on(trigger(&store, &changed, "u1", std::slice::from_ref(&row))).unwrap();
    assert!(done.refolded);
    let view = block_on(store.view("u1")).unwrap().unwrap();
    let expected =
        format!(r#"{{"id":"u1","ordered":true,"name":"**NOT SET**","lastLogin":{},"recentOrderCount":2}}"#, T + 2);
    assert_eq!(view.state.document(&changed, "u1"), expected);

    block_on(snapshot(&store, &changed, "u1", T + WEEK + HOUR, Closing::Settled)).unwrap();
    cut(&store);
    // A refold, too, must remember that rows are gone.
    for (id, at) in [("l2", T + WEEK), ("before l2", T + WEEK - 1)] {
        let row = accepted(take(&store, &login(id, at), T + WEEK + HOUR));
        block_on(trigger(&store, &changed, "u1", &[row])).unwrap();
    }
    let row = accepted(take(&store, &login("l3", T + WEEK), T + WEEK + HOUR));
    let refused = block_on(trigger(&store, &join(), "u1", &[row])).map_err(|error| error.to_string());
    let words = refused.unwrap_err();
    assert!(
        words.contains("the definition changed, but history up to") && words.contains("join of another name"),
        "{words}"
    );
    let refused = block_on(snapshot(&store, &join(), "u1", T + 9 * WEEK, Closing::Settled));
    assert!(matches!(refused, Err(Error::Incomplete { .. })));
}

/// A key that was misspelt when it was refolded by hand got a view of nothing, which every list then showed.
#[test]
fn a_key_without_events_gets_no_view_by_a_refold() {
    let store = MemoryStore::default();
    let join = Join::parse(DEFINITION).unwrap();
    assert_eq!(block_on(refold(&store, &join, "u9")).unwrap(), Triggered::default());
    assert!(store.keys().is_empty());
}
