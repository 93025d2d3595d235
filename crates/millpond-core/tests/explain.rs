//! Explain names the snapshot's part and exactly the events of the tail that show in a value.

use millpond_core::explain::{Asked, Explanation, explain, explain_some};
use millpond_core::snapshot::{Closing, SnapshotDecision, decide};
use millpond_core::store::Row;
use millpond_core::view::Folded;
use millpond_core::{Join, Position, View};

const DEFINITION: &str = r#"
name = "orders"
lateness = "1s"
[key]
"order" = "user"
"login" = "user"
[view]
last   = { latest = "city", of = "order" }
first  = { first = "city", of = "order" }
most   = { max = "total" }
spent  = { sum = "total" }
orders = { count = "order" }
recent = { list = "city", of = "order", last = 2 }
cities = { set = "city", max = 2 }
seen   = { exists = "login" }
"#;

fn row(kind: &str, at: u64, rest: &str) -> Row {
    let body = format!(r#"{{"id":"e{at}","type":"{kind}","timestamp":{at},"user":"u"{rest}}}"#);
    Row { position: Position::new(at, &format!("e{at}")), put_at: at, body: body.into() }
}

fn rows() -> Vec<Row> {
    vec![
        row("order", 1_000, r#","city":"Rome","total":5"#),
        row("order", 2_000, r#","city":"Oslo","total":9"#),
        row("order", 3_000, r#","city":"Bern","total":2.5"#),
        row("order", 4_000, r#","city":"Rome""#),
    ]
}

/// The ids of the events shown for a field, its value, and how many gave one.
fn shown<'e>(explanations: &'e [Explanation], field: &str) -> (&'e str, Vec<&'e str>, u64) {
    let found = explanations.iter().find(|explanation| explanation.field == field).expect("a field of the view");
    (found.value.get(), found.events.iter().map(|cause| cause.id.as_str()).collect(), found.tail_values)
}

#[test]
fn each_field_names_the_events_that_show_in_it() {
    let join = Join::parse(DEFINITION).unwrap();
    let rows = rows();
    let folded = Folded::from_snapshot(&join, None).fold_all(&join, &rows).unwrap();
    let explanations = explain(&join, &View::unstored(&join, folded, None), &rows).unwrap();
    for (field, value, events, values) in [
        ("last", r#""Rome""#, vec!["e4000"], 4),
        ("first", r#""Rome""#, vec!["e1000"], 4),
        ("most", "9", vec!["e2000"], 3),
        ("spent", "16.5", vec!["e1000", "e2000", "e3000"], 3),
        ("orders", "4", vec!["e1000", "e2000", "e3000", "e4000"], 4),
        ("recent", r#"["Bern","Rome"]"#, vec!["e3000", "e4000"], 4),
        ("cities", r#"["Bern","Oslo"]"#, vec!["e2000", "e3000"], 4),
        ("seen", "false", vec![], 0),
    ] {
        assert_eq!(shown(&explanations, field), (value, events, values), "{field}");
    }
    let order: Vec<&str> = explanations.iter().map(|explanation| explanation.field.as_str()).collect();
    assert_eq!(order, ["last", "first", "most", "spent", "orders", "recent", "cities", "seen"]);
    assert!(explanations.iter().all(|explanation| explanation.snapshot.is_none()));
}

#[test]
fn one_field_is_explained_by_its_newest_events_and_the_number_of_all() {
    let join = Join::parse(DEFINITION).unwrap();
    let rows = rows();
    let folded = Folded::from_snapshot(&join, None).fold_all(&join, &rows).unwrap();
    let view = View::unstored(&join, folded, None);
    let asked = |field, events_max| explain_some(&join, &view, &rows, Asked { field, events_max }).unwrap();
    let one = asked(Some("orders"), Some(2));
    assert_eq!((one.len(), shown(&one, "orders")), (1, ("4", vec!["e3000", "e4000"], 4)));
    assert_eq!(one[0].shows, 4);
    let most = asked(None, Some(1));
    assert_eq!(shown(&most, "spent"), ("16.5", vec!["e3000"], 3));
    let all = asked(None, None);
    assert!(all.iter().all(|explanation| explanation.shows == explanation.events.len() as u64));
    assert!(asked(Some("no"), None).is_empty());
}

#[test]
fn what_the_snapshot_holds_is_shown_as_its_part() {
    let join = Join::parse(DEFINITION).unwrap();
    let rows = rows();
    let folded = Folded::from_snapshot(&join, None).fold_all(&join, &rows).unwrap();
    let mut view = View::unstored(&join, folded, None);
    let SnapshotDecision::Close { snapshot, folded, tail_events } =
        decide(&join, &view, &rows, 3_500, Closing::Settled).unwrap()
    else {
        panic!("two rows are settled");
    };
    assert_eq!((snapshot.events, tail_events), (2, 2));
    view.snapshot = Some(*snapshot);
    view.replace(*folded);
    let explanations = explain(&join, &view, &rows[2..]).unwrap();
    assert_eq!(shown(&explanations, "spent"), ("16.5", vec!["e3000"], 1));
    assert_eq!(shown(&explanations, "most"), ("9", vec![], 1));
    let part = |field: &str| {
        let found = explanations.iter().find(|explanation| explanation.field == field).unwrap();
        found.snapshot.as_ref().unwrap().value.get().to_owned()
    };
    assert_eq!((part("spent").as_str(), part("most").as_str(), part("last").as_str()), ("14", "9", "\"Oslo\""));
}
