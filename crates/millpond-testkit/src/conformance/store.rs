//! Examines a store: one test a sentence of the [`Store`] port's contract.

use std::sync::Barrier;

use millpond_core::store::{Inserted, LateEvent, Quarantined, Row, Store, Written};
use millpond_core::view::Folded;
use millpond_core::{Join, Position, Reason, Rejection, View};
use pollster::block_on;

use crate::events::ALL_FOLDS;

/// Rows of the paging examination: more than a page of any store we know.
const MANY_ROWS: u64 = 300;
const RIVALS: u64 = 8;

/// Examines the stores that `make` makes, each empty.
///
/// # Panics
/// At the first sentence of the contract that does not hold.
pub fn store_contract<S: Store>(make: impl Fn() -> S) {
    what_was_acknowledged_is_seen(&make());
    views_are_written_only_over_the_version_before(&make());
    of_rival_views_one_is_written(&make());
    rows_are_written_once(&make());
    of_rival_rows_one_is_new(&make());
    rows_come_once_in_order_whatever_the_pages(&make());
    ranges_exclude_after_and_include_through(&make());
    deleted_rows_are_gone_and_left_ones_are_named(&make());
    late_events_and_quarantine_are_kept(&make());
    keys_see_nothing_of_each_other(&make());
    long_names_are_kept_whole(&make());
}

fn row(timestamp: u64, id: &str) -> Row {
    Row {
        position: Position::new(timestamp, id),
        put_at: timestamp + 5,
        body: format!("{{\"at\":{timestamp}}}").into(),
    }
}

fn view(version: u64, events: u64) -> View {
    let join = Join::parse(ALL_FOLDS).expect("the definition is right");
    let mut view = View::unstored(&join, Folded::from_snapshot(&join, None), None);
    (view.version, view.events, view.folded_to) = (version, events, Position::new(events, "é"));
    view
}

fn insert<S: Store>(store: &S, key: &str, row: &Row) -> Inserted {
    block_on(store.insert_row(key, row)).expect("insert_row")
}

/// Puts a view over what is stored if its version is the next one, and else over what it takes to
/// be stored: the version before, or nothing.
fn put<S: Store>(store: &S, key: &str, next: &View) -> Written {
    let before = stored(store, key).filter(|stored| stored.version + 1 == next.version);
    let before = before.or_else(|| (next.version > 1).then(|| view(next.version - 1, 0)));
    block_on(store.put_view(key, before.as_ref(), next)).expect("put_view")
}

fn stored<S: Store>(store: &S, key: &str) -> Option<View> {
    block_on(store.view(key)).expect("view")
}

fn delete<S: Store>(store: &S, key: &str, positions: &[Position]) -> Vec<Position> {
    block_on(store.delete_rows(key, positions)).expect("delete_rows")
}

fn get<S: Store>(store: &S, key: &str, position: &Position) -> Option<Row> {
    block_on(store.row(key, position)).expect("row")
}

/// All rows of a range, page by page; `more` must be set exactly until the last.
fn rows<S: Store>(store: &S, key: &str, after: Option<&Position>, through: Option<&Position>) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    for _ in 0..=MANY_ROWS {
        let after = all.last().map(|row| &row.position).or(after).cloned();
        let page = block_on(store.rows(key, after.as_ref(), through)).expect("rows");
        assert!(!page.more || !page.rows.is_empty(), "a page that says there is more has rows");
        all.extend(page.rows);
        if !page.more {
            return all;
        }
    }
    panic!("pages never end");
}

fn what_was_acknowledged_is_seen<S: Store>(store: &S) {
    assert_eq!(stored(store, "k"), None);
    assert_eq!(get(store, "k", &Position::new(1, "a")), None);
    assert_eq!(rows(store, "k", None, None), []);
    assert_eq!(insert(store, "k", &row(1, "a")), Inserted::New);
    assert_eq!(get(store, "k", &Position::new(1, "a")), Some(row(1, "a")));
    assert_eq!(rows(store, "k", None, None), [row(1, "a")]);
    assert_eq!(put(store, "k", &view(1, 7)), Written::Done);
    assert_eq!(stored(store, "k"), Some(view(1, 7)));
}

fn views_are_written_only_over_the_version_before<S: Store>(store: &S) {
    assert_eq!(put(store, "k", &view(2, 1)), Written::Conflict, "no view, and version 2");
    assert_eq!(stored(store, "k"), None);
    assert_eq!(put(store, "k", &view(1, 1)), Written::Done);
    for version in [1, 3, 9] {
        assert_eq!(put(store, "k", &view(version, 99)), Written::Conflict, "version {version} over 1");
        assert_eq!(stored(store, "k"), Some(view(1, 1)), "a conflict writes nothing");
    }
    assert_eq!(put(store, "k", &view(2, 2)), Written::Done);
    assert_eq!(stored(store, "k"), Some(view(2, 2)));
}

fn of_rival_views_one_is_written<S: Store>(store: &S) {
    for version in 1..=5 {
        let written = rivals(|rival| put(store, "k", &view(version, rival)));
        let winners: Vec<_> = (0..).zip(&written).filter(|(_, written)| **written == Written::Done).collect();
        assert_eq!(winners.len(), 1, "version {version}: {written:?}");
        assert_eq!(stored(store, "k"), Some(view(version, winners[0].0)));
    }
}

fn rows_are_written_once<S: Store>(store: &S) {
    let first = row(1, "a");
    let second = Row { put_at: 77, body: "{\"other\":1}".into(), ..first.clone() };
    assert_eq!(insert(store, "k", &first), Inserted::New);
    assert_eq!(insert(store, "k", &first), Inserted::Present(first.clone()));
    assert_eq!(insert(store, "k", &second), Inserted::Present(first.clone()));
    assert_eq!(get(store, "k", &first.position), Some(first));
}

fn of_rival_rows_one_is_new<S: Store>(store: &S) {
    for timestamp in 1..=20 {
        let found = rivals(|rival| insert(store, "k", &Row { put_at: rival, ..row(timestamp, "a") }));
        let new: Vec<_> = (0..).zip(&found).filter(|(_, found)| **found == Inserted::New).collect();
        assert_eq!(new.len(), 1, "{found:?}");
        let winner = Row { put_at: new[0].0, ..row(timestamp, "a") };
        assert!(
            found.iter().all(|found| matches!(found, Inserted::New) || *found == Inserted::Present(winner.clone()))
        );
        assert_eq!(get(store, "k", &winner.position), Some(winner));
    }
}

/// What some threads get from doing the same at once.
fn rivals<T: Send>(act: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(RIVALS as usize);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..RIVALS)
            .map(|rival| {
                let (start, act) = (&start, &act);
                scope.spawn(move || {
                    start.wait();
                    act(rival)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

fn rows_come_once_in_order_whatever_the_pages<S: Store>(store: &S) {
    let mut expected: Vec<Row> = (0..MANY_ROWS).map(|n| row(n / 3 * 10, &format!("id{}", n * 7 % 100))).collect();
    // Equal timestamps, ids in the order of bytes, numbers in the order of numbers.
    expected.extend([row(9, "z"), row(10, ""), row(10, "Z"), row(10, "é"), row(10, "a/b"), row(0, "a"), row(0, "a ")]);
    expected.push(row(253_402_300_799_999, "last"));
    for row in expected.iter().rev() {
        insert(store, "k", row);
    }
    expected.sort_by(|a, b| a.position.cmp(&b.position));
    expected.dedup();
    assert_eq!(rows(store, "k", None, None), expected);
}

fn ranges_exclude_after_and_include_through<S: Store>(store: &S) {
    let all: Vec<Row> = (0..40).map(|n| row(n / 2 * 2, if n % 2 == 0 { "a" } else { "b" })).collect();
    all.iter().for_each(|row| drop(insert(store, "k", row)));
    let mut bounds: Vec<Option<Position>> = vec![None];
    for timestamp in [0, 1, 7, 8, 38, 39] {
        bounds.extend(["", "a", "aa", "b", "c"].map(|id| Some(Position::new(timestamp, id))));
    }
    for after in &bounds {
        for through in &bounds {
            let inside = |row: &&Row| {
                after.as_ref().is_none_or(|after| row.position > *after)
                    && through.as_ref().is_none_or(|through| row.position <= *through)
            };
            let expected: Vec<Row> = all.iter().filter(inside).cloned().collect();
            assert_eq!(rows(store, "k", after.as_ref(), through.as_ref()), expected, "{after:?} {through:?}");
        }
    }
}

fn deleted_rows_are_gone_and_left_ones_are_named<S: Store>(store: &S) {
    let all: Vec<Row> = (0..60).map(|n| row(n, "a")).collect();
    all.iter().for_each(|row| drop(insert(store, "k", row)));
    let mut asked: Vec<Position> = all.iter().step_by(2).map(|row| row.position.clone()).collect();
    asked.push(Position::new(5, "never written"));
    let mut left = asked.clone();
    for _ in 0..100 {
        let before = left.clone();
        left = delete(store, "k", &before);
        assert!(left.iter().all(|position| before.contains(position)), "only what was asked for is named");
        for position in &before {
            let is_left = left.contains(position);
            assert_eq!(get(store, "k", position).is_some(), is_left, "{position}");
        }
        if left.is_empty() {
            break;
        }
    }
    assert_eq!(left, [], "a store that does not fail deletes in the end");
    let expected: Vec<Row> = all.into_iter().skip(1).step_by(2).collect();
    assert_eq!(rows(store, "k", None, None), expected);
    assert_eq!(delete(store, "k", &[Position::new(0, "a")]), [], "deleting again is deleted");
    assert_eq!(delete(store, "k", &[]), []);
    assert_eq!(insert(store, "k", &row(0, "a")), Inserted::New, "a deleted place is free");
}

fn late_events_and_quarantine_are_kept<S: Store>(store: &S) {
    let late = |key: &str, id: &str| LateEvent { key: key.into(), row: row(3, id), closed: Position::new(4, "") };
    for (key, id) in [("k", "a"), ("k", "b"), ("l", "a")] {
        assert_eq!(block_on(store.keep_late(&late(key, id))).expect("keep_late"), Inserted::New, "{key} {id}");
    }
    // Whether it was there is told "as far as the store knows": only that it can be kept again is sure.
    block_on(store.keep_late(&late("k", "a"))).expect("keep_late again");
    let rejection = Rejection::new(Reason::InvalidUtf8, "byte 0");
    let quarantined = Quarantined { rejection, at: 9, bytes: vec![0xff, 0, b'x'] };
    block_on(store.keep_quarantined(&quarantined)).expect("keep_quarantined");
    block_on(store.keep_quarantined(&quarantined)).expect("keep_quarantined again");
    assert_eq!(rows(store, "k", None, None), [], "late events are no rows");
}

fn keys_see_nothing_of_each_other<S: Store>(store: &S) {
    let keys = ["k", "k ", "kk", "k/", "k/1", "1", "K", "é", "e\u{301}", "k\\", "k\"", "~", "🙂"];
    for (n, key) in (1..).zip(keys) {
        assert_eq!(insert(store, key, &row(n, "a")), Inserted::New);
        assert_eq!(insert(store, key, &row(500, "same")), Inserted::New);
        assert_eq!(put(store, key, &view(1, n)), Written::Done);
    }
    delete(store, "k", &[Position::new(1, "a"), Position::new(500, "same"), Position::new(2, "a")]);
    assert_eq!(put(store, "kk", &view(2, 1000)), Written::Done);
    for (n, key) in (1..).zip(keys) {
        let expected = if key == "k" { vec![] } else { vec![row(n, "a"), row(500, "same")] };
        assert_eq!(rows(store, key, None, None), expected, "{key}");
        assert_eq!(stored(store, key), Some(if key == "kk" { view(2, 1000) } else { view(1, n) }), "{key}");
    }
}

fn long_names_are_kept_whole<S: Store>(store: &S) {
    let (key, id) = ("k".repeat(millpond_core::event::KEY_BYTES_MAX), "i".repeat(millpond_core::event::ID_BYTES_MAX));
    let body = format!("\"{}\"", "é".repeat(150_000));
    let long = Row { position: Position::new(1, &id), put_at: u64::MAX, body: body.into() };
    assert_eq!(insert(store, &key, &long), Inserted::New);
    assert_eq!(get(store, &key, &long.position), Some(long.clone()));
    assert_eq!(rows(store, &key, None, None), [long]);
    assert_eq!(rows(store, &key[1..], None, None), []);
}
