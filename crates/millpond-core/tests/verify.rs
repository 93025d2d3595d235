//! Verify: whatever in a stored view is not the fold of its events is named.

use millpond_core::snapshot::Snapshot;
use millpond_core::store::Row;
use millpond_core::verify::{Difference, verify};
use millpond_core::view::{Folded, View};
use millpond_core::{Join, Position};

const JOIN: &str = r#"
name = "j"
[key]
e = "k"
[view]
n = { count = "e" }
last = { latest = "v" }
"#;

fn row(at: u64) -> Row {
    let body = format!(r#"{{"id":"{at}","type":"e","timestamp":{at},"k":"key","v":{at}}}"#);
    Row { position: Position::new(at, &at.to_string()), put_at: at, body: body.into() }
}

/// A right view of five events, two of which its snapshot holds, and its tail.
fn right(join: &Join) -> (View, Vec<Row>) {
    let rows: Vec<Row> = (1..=5).map(row).collect();
    let (closed, tail) = rows.split_at(2);
    let fold = |rows: &[Row]| Folded::from_snapshot(join, None).fold_all(join, rows).expect("they are events");
    let (snapshot, all) = (fold(closed), fold(&rows));
    let view = View {
        version: 7,
        fingerprint: join.fingerprint(),
        state: all.state,
        folded_to: all.folded_to,
        events: all.events,
        snapshot: Some(Snapshot { state: snapshot.state, through: snapshot.folded_to, events: 2, closed_at: 9 }),
        trimmed_to: None,
        behind: false,
    };
    (view, tail.to_vec())
}

fn named(change: impl FnOnce(&mut View, &mut Vec<Row>)) -> Vec<(String, String, String)> {
    let join = Join::parse(JOIN).expect("the definition is right");
    let (mut view, mut tail) = right(&join);
    change(&mut view, &mut tail);
    let differences = verify(&join, &view, &tail).expect("all rows are events");
    differences.into_iter().map(|Difference { what, stored, refolded }| (what, stored, refolded)).collect()
}

fn whats(change: impl FnOnce(&mut View, &mut Vec<Row>)) -> Vec<String> {
    named(change).into_iter().map(|(what, ..)| what).collect()
}

#[test]
fn rows_that_come_twice_are_told_even_where_they_are_counted() {
    let twice = |view: &mut View, tail: &mut Vec<Row>| {
        tail.insert(1, tail[0].clone());
        view.events += 1;
    };
    assert_eq!(whats(twice), ["n", "order"]);
}

#[test]
fn a_right_view_has_no_difference() {
    assert_eq!(named(|_, _| {}), []);
    // It has seen an event that is gone since, with its key's erasure: `folded_to` never goes back.
    assert_eq!(named(|view, _| view.folded_to = Position::new(9, "9")), []);
}

#[test]
fn what_is_not_the_fold_of_the_events_is_named_with_both_values() {
    let lost = named(|_, tail| drop(tail.remove(1)));
    let shown: Vec<(&str, &str, &str)> =
        lost.iter().map(|(what, stored, refolded)| (&**what, &stored[..1], &refolded[..1])).collect();
    assert_eq!(shown, [("n", "5", "4"), ("events", "5", "4")]);
    assert_eq!(whats(|view, _| view.folded_to = Position::new(4, "4")), ["folded_to"]);
    assert_eq!(whats(|_, tail| tail[2] = row(3)), ["last", "order"], "a row that is there twice");
}

#[test]
fn rows_out_of_order_or_below_the_snapshot_are_named() {
    assert_eq!(whats(|_, tail| tail.swap(0, 1)), ["order"]);
    let (closed, last) = (row(2), row(5));
    assert_eq!(whats(|_, tail| *tail = vec![closed, row(3), last]), ["order"], "the boundary itself is closed");
}
