//! Queries of URLs, and the conditions in them on documents.

use millpond::fuzzing::http::{filter, query};

use crate::first_line;

const FIELDS: [&str; 4] = ["n", "name", "on", "tags"];

/// The first line is a query; each of its conditions is asked about the rest as a document.
pub fn run(bytes: &[u8]) {
    let (text, document) = first_line(bytes);
    let (Ok(text), Ok(document)) = (std::str::from_utf8(text), std::str::from_utf8(document)) else { return };
    let values = match query(text) {
        Ok(values) => values,
        Err(detail) => return assert!(!detail.is_empty()),
    };
    assert_eq!(query(text).as_ref(), Ok(&values));
    for (name, value) in &values {
        // Places are looked up as they are, and not found.
        assert!(matches!(*name, "at" | "late") || !value.contains('\0'), "{name}={value:?}");
    }
    let conditions: Vec<&str> =
        values.iter().filter(|(name, _)| *name == "where").map(|(_, value)| value.as_str()).collect();
    let Ok(matches) = filter(&conditions, &FIELDS, document) else { return };
    let each = conditions.iter().map(|one| filter(&[one], &FIELDS, document) == Ok(true));
    assert_eq!(matches, each.into_iter().all(|holds| holds), "all conditions must hold, and no more");
    for condition in &conditions {
        opposites(condition, document);
    }
}

/// Of `a=b` and `a!=b` at most one holds; where one of `<`, `=` and `>` holds, no other does.
fn opposites(condition: &str, document: &str) {
    let Some(start) = condition.find(['=', '!', '<', '>']) else { return };
    let (field, rest) = condition.split_at(start);
    let value = rest.trim_start_matches(['=', '!', '<', '>']);
    let holds = |op: &str| filter(&[&format!("{field}{op}{value}")], &FIELDS, document) == Ok(true);
    let [equal, unequal, less, greater] = ["=", "!=", "<", ">"].map(holds);
    assert!(!(equal && unequal), "{condition}");
    assert!(usize::from(equal) + usize::from(less) + usize::from(greater) <= 1, "{condition}");
    assert_eq!(holds("<="), less || equal && comparable(&holds), "{condition}");
}

/// Values that are only ever equal or not have no order.
fn comparable(holds: &impl Fn(&str) -> bool) -> bool {
    holds(">=")
}
