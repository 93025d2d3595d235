//! Items of DynamoDB: views and rows come back as they were stored, and whatever else lies there is
//! refused with words or read, and never worse.

use std::sync::LazyLock;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use millpond_aws::items::{
    self, Item, SEQUENCE, generation, item_bytes, joined, overflow_marks, position, row, row_item, sequence, view,
    view_items, view_key,
};
use millpond_core::process::consumer::{Read, read};
use millpond_core::store::Row;
use millpond_core::view::Folded;
use millpond_core::{Join, Snapshot, View};
use millpond_testkit::events::ALL_FOLDS;

use crate::{NOW, below, first_line};

static JOIN: LazyLock<Join> = LazyLock::new(|| Join::parse(ALL_FOLDS).expect("the definition is right"));

const EDITS_MAX: usize = 8;
const EDIT_BYTES: usize = 4;

/// The first line changes the items that are made of the events on the others.
pub fn run(bytes: &[u8]) {
    let (edits, lines) = first_line(bytes);
    let rows = rows(lines);
    for row in &rows {
        assert_eq!(position(&sequence(row.position.at())).as_ref(), Some(&row.position));
    }
    for pair in rows.windows(2) {
        let (one, other) = (&pair[0].position, &pair[1].position);
        assert_eq!(sequence(one.at()).cmp(&sequence(other.at())), one.cmp(other), "the order of text is not that");
    }
    places(edits);
    let mut all: Vec<Item> = rows.iter().map(|row| row_item("k", row)).collect();
    for (item, stored) in all.iter().zip(&rows) {
        assert_eq!(row(item).expect("it was stored so"), ("k", stored.clone()));
    }
    all.extend(views(&rows));
    for edit in edits.chunks_exact(EDIT_BYTES).take(EDITS_MAX) {
        let index = usize::from(edit[0]) % all.len();
        apply(&mut all[index], &edit[1..]);
    }
    all.iter().for_each(read_anything);
}

/// Any text as a place.
fn places(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(position) = position(text) {
        assert_eq!(sequence(position.at()), text);
    }
}

fn rows(lines: &[u8]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Ok(Read::Joins(event, _, _)) = read(&JOIN, line, NOW) else { continue };
        let position = event.position().to_position();
        if rows.iter().all(|row| row.position != position) {
            rows.push(Row { position, put_at: NOW, body: event.text.into() });
        }
    }
    rows
}

/// A view without a snapshot, and one with: their items, once they were found to say the same.
fn views(rows: &[Row]) -> Vec<Item> {
    let mut sorted = rows.to_vec();
    sorted.sort_by(|one, other| one.position.cmp(&other.position));
    let fold = |rows: &[Row]| Folded::from_snapshot(&JOIN, None).fold_all(&JOIN, rows).expect("rows are events");
    let (below, whole) = (fold(&sorted[..sorted.len() / 2]), fold(&sorted));
    let snapshot = Snapshot { state: below.state, through: below.folded_to, events: below.events, closed_at: NOW };
    let mut all = Vec::new();
    for snapshot in [None, Some(snapshot)] {
        let mut stored = View::unstored(&JOIN, whole.clone(), snapshot);
        (stored.version, stored.behind) = (whole.events + 1, whole.events % 2 == 1);
        stored.trimmed_to = stored.through().cloned();
        let Ok(made) = view_items(&JOIN, "k", &stored, 7) else { continue };
        let found = view(&JOIN, &made.view).expect("it was stored so");
        assert_eq!((found.is_split, found.is_overflow), (made.snapshot.is_some(), false));
        let found = match &made.snapshot {
            None => found.view,
            Some(item) => joined(&JOIN, found.view, Some(item)).expect("it was stored so").expect("it is of this view"),
        };
        assert_eq!(*found, stored);
        assert_eq!((generation(&made.view).ok(), view_key(&made.view)), (Some(7), Some("k")));
        let mut marked = made.view.clone();
        marked.extend(overflow_marks(&stored, 8));
        assert!(view(&JOIN, &marked).is_ok_and(|found| found.is_overflow && found.view.behind));
        all.push(made.view);
        all.extend(made.snapshot);
    }
    all
}

/// Which attribute, what happens to it, and a seed; inside a map, the same again.
fn apply(item: &mut Item, edit: &[u8]) {
    let mut names: Vec<String> = item.keys().cloned().collect();
    names.sort();
    let Some(name) = names.get(usize::from(edit[0]) % names.len().max(1)) else { return };
    let Some(value) = item.get_mut(name) else { return };
    let seed = edit[2];
    match (edit[1] % 12, value) {
        (0, _) => drop(item.remove(name)),
        (1, value) => *value = AttributeValue::S(["", "/", "000000000000001/e", "x"][usize::from(seed % 4)].into()),
        (2, value) => {
            *value = AttributeValue::N(["", "-1", "1e3", "18446744073709551616"][usize::from(seed % 4)].into())
        }
        (3, value) => *value = AttributeValue::B(Blob::new(vec![seed; usize::from(seed)])),
        (4, value) => *value = AttributeValue::Bool(seed.is_multiple_of(2)),
        (5, value) => *value = AttributeValue::M(Item::new()),
        (6, value) => *value = AttributeValue::Null(true),
        (_, AttributeValue::M(inside)) => apply(inside, &[seed, edit[1].wrapping_add(5), edit[0]]),
        (kind, AttributeValue::B(blob)) => {
            let mut bytes = blob.as_ref().to_vec();
            let at = below([seed, edit[0]], bytes.len());
            match (kind, bytes.get_mut(at)) {
                (7 | 8, Some(byte)) => *byte = byte.wrapping_add(seed | 1),
                (9, _) => bytes.truncate(at),
                _ => bytes.insert(at, seed),
            }
            *blob = Blob::new(bytes);
        }
        (_, AttributeValue::S(text)) => {
            let mut characters: Vec<char> = text.chars().collect();
            let at = usize::from(seed) % (characters.len() + 1);
            characters.insert(at, ['0', '/', '+', 'é', '\u{1f}', ' '][usize::from(seed) % 6]);
            *text = characters.into_iter().collect();
        }
        (_, AttributeValue::N(digits)) => digits.push(char::from(seed)),
        _ => {}
    }
}

fn read_anything(item: &Item) {
    assert!(item_bytes(item) < 10_000_000);
    let _ = (view_key(item), generation(item).map_err(told));
    if let Ok((key, found)) = row(item).map_err(told) {
        let again = row_item(key, &found);
        assert_eq!(row(&again).expect("it was stored so"), (key, found));
        assert_eq!(again[SEQUENCE], item[SEQUENCE], "two texts for one place");
    }
    if let Ok(found) = view(&JOIN, item).map_err(told) {
        let whole = joined(&JOIN, found.view.clone(), Some(item)).map_err(told);
        drop(whole);
        let _ = view_items(&JOIN, "k", &found.view, 0);
    }
}

fn told(damaged: items::Damaged) {
    assert!(!damaged.what.is_empty());
}
