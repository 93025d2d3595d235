//! Explain: which part of a field is the snapshot's, and which events of the tail made the rest.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::Event;
use crate::fold::{FieldState, contribution};
use crate::join::{Field, Join};
use crate::reject::Rejection;
use crate::store::Row;
use crate::view::View;

/// Why a field is what it is.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The field.
    pub field: String,
    /// Its fold, as the definition names it.
    pub fold: &'static str,
    /// Its value in the document.
    pub value: Box<RawValue>,
    /// Its value if there were no tail; absent without a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotPart>,
    /// The tail's events that show in the value, in the order of positions: all, or the newest of them.
    pub events: Vec<Cause>,
    /// How many events of the tail show in the value.
    pub shows: u64,
    /// How many events of the tail gave a value, also those that no longer show.
    pub tail_values: u64,
}

/// The snapshot's part of a field.
#[derive(Debug, Serialize)]
pub struct SnapshotPart {
    /// The value at the snapshot.
    pub value: Box<RawValue>,
    /// The highest closed position, as timestamp/id.
    pub through: String,
    /// Events in the snapshot, of all fields.
    pub events: u64,
}

/// An event that shows in a value.
#[derive(Debug, Serialize)]
pub struct Cause {
    /// Milliseconds since 1970 UTC.
    pub timestamp: u64,
    /// The event's id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it gives by itself.
    pub gives: Box<RawValue>,
}

/// What of a view is to be explained.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Only this field.
    pub field: Option<&'a str>,
    /// Of a field's events, only so many: the newest.
    pub events_max: Option<usize>,
}

/// Explains each field of a view, given all rows after its snapshot, in the document's order.
///
/// # Errors
/// If a row is no event any more.
pub fn explain(join: &Join, view: &View, tail: &[Row]) -> Result<Vec<Explanation>, Rejection> {
    explain_some(join, view, tail, Asked::default())
}

/// As [`explain`], of what is asked for.
///
/// # Errors
/// As there.
pub fn explain_some(
    join: &Join,
    view: &View,
    tail: &[Row],
    Asked { field, events_max }: Asked<'_>,
) -> Result<Vec<Explanation>, Rejection> {
    let asked = |(_, known): &(usize, &Field)| field.is_none_or(|field| known.name == field);
    let mut explanations: Vec<Explanation> =
        join.shown_fields().filter(asked).map(|(index, field)| without_tail(view, index, field)).collect();
    // From the end, so that what is not asked for is never made.
    for row in tail.iter().rev() {
        let event = Event::read(join, row.body.as_bytes())?;
        let Some(kind) = join.type_index(&event.kind) else { continue };
        for (index, alone) in contribution(join, kind, &event).0 {
            let index = usize::from(index);
            let field = &join.fields()[index];
            let Some(explanation) = explanations.iter_mut().find(|explanation| explanation.field == field.name) else {
                continue;
            };
            explanation.tail_values += 1;
            if !alone.shows_in(&view.state.fields()[index]) {
                continue;
            }
            explanation.shows += 1;
            if events_max.is_none_or(|max| explanation.events.len() < max) {
                explanation.events.push(Cause {
                    timestamp: event.timestamp,
                    id: event.id.to_string(),
                    kind: event.kind.to_string(),
                    gives: raw(field, &alone),
                });
            }
        }
    }
    for explanation in &mut explanations {
        explanation.events.reverse();
    }
    Ok(explanations)
}

fn without_tail(view: &View, index: usize, field: &Field) -> Explanation {
    Explanation {
        field: field.name.clone(),
        fold: field.fold.name(),
        value: raw(field, &view.state.fields()[index]),
        snapshot: view.snapshot.as_ref().map(|snapshot| SnapshotPart {
            value: raw(field, &snapshot.state.fields()[index]),
            through: snapshot.through.to_string(),
            events: snapshot.events,
        }),
        events: Vec::new(),
        shows: 0,
        tail_values: 0,
    }
}

fn raw(field: &Field, state: &FieldState) -> Box<RawValue> {
    RawValue::from_string(state.render(field).into_owned()).expect("a field renders as JSON")
}
