//! How one field is computed: every fold is a commutative, associative merge over distinct
//! events that know their position, so neither order nor grouping of events can be seen in it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::event::Event;
use crate::extract::is_value;
use crate::join::{Field, Join, Source, TypeIndex};
use crate::json::{Json, quoted, unquoted};
use crate::number::Number;
use crate::position::{At, Position};

/// How a field folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// The value of the highest position.
    Latest,
    /// The value of the lowest position.
    First,
    /// How many events.
    Count,
    /// The exact sum of numbers.
    Sum,
    /// The least number; where there is none, the least text.
    Min,
    /// The greatest number; where there is none, the greatest text.
    Max,
    /// The mean of numbers: exact sum by count.
    Avg,
    /// The values of the last positions.
    List {
        /// How many are kept.
        last: u32,
    },
    /// The distinct values.
    Set {
        /// How many are kept: the first in canonical order.
        max: u32,
    },
    /// Whether there was an event.
    Exists,
}

impl Fold {
    /// The folds as definitions name them.
    pub const NAMES: [&'static str; 10] =
        ["latest", "first", "count", "sum", "min", "max", "avg", "list", "set", "exists"];

    /// The fold's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::First => "first",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
            Self::List { .. } => "list",
            Self::Set { .. } => "set",
            Self::Exists => "exists",
        }
    }
}

/// A number or a text: what `min` and `max` compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scalar {
    /// A number; before every text.
    Number(Number),
    /// A text, in the order of its bytes.
    Text(Box<str>),
}

impl Scalar {
    /// A number beats a text in both directions: one odd text must not hide every number for ever.
    fn beats(&self, other: &Self, fold: Fold) -> bool {
        match (self, other) {
            (Self::Number(_), Self::Text(_)) => true,
            (Self::Text(_), Self::Number(_)) => false,
            _ => (self > other) == (fold == Fold::Max),
        }
    }
}

/// The folded form of one field. [`FieldState::Nothing`] is every fold's neutral element.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldState {
    /// No value yet.
    #[default]
    Nothing,
    /// `latest` and `first`: the value and the position it came from.
    Placed(Position, Json),
    /// `count`.
    Count(u64),
    /// `sum` and `avg`: the sum and how many numbers went into it.
    Total(Number, u64),
    /// `min` and `max`.
    Extreme(Scalar),
    /// `list`: in the order of positions.
    List(Vec<(Position, Json)>),
    /// `set`: in canonical order, and whether there were more.
    Set(Vec<Json>, bool),
    /// `exists`.
    Seen,
}

impl FieldState {
    /// Merges the folded form of other, distinct events into this one.
    pub fn merge(&mut self, fold: Fold, other: Self) {
        match (&mut *self, other) {
            (Self::Nothing, other) => *self = other,
            (Self::Placed(at, value), Self::Placed(other_at, other_value))
                if (other_at > *at) == (fold == Fold::Latest) =>
            {
                (*at, *value) = (other_at, other_value);
            }
            (Self::Count(count), Self::Count(other)) => *count += other,
            (Self::Total(sum, count), Self::Total(other_sum, other_count)) => {
                *sum = sum.plus(other_sum);
                *count += other_count;
            }
            (Self::Extreme(value), Self::Extreme(other)) if other.beats(value, fold) => *value = other,
            (Self::List(entries), Self::List(other)) => {
                let Fold::List { last } = fold else { return };
                merge_list(entries, other, last as usize);
            }
            (Self::Set(values, more), Self::Set(other, other_more)) => {
                let Fold::Set { max } = fold else { return };
                *more |= other_more;
                *more |= merge_set(values, other, max as usize);
            }
            // Nothing, what is not newer or greater, `exists`; or states of two definitions, which the fingerprint
            // keeps apart.
            _ => {}
        }
    }

    /// Whether `fold` could have made it, its values being JSON: else it cannot be shown.
    pub(crate) fn is_of(&self, fold: Fold) -> bool {
        match (fold, self) {
            (_, Self::Nothing)
            | (Fold::Count, Self::Count(_))
            | (Fold::Sum | Fold::Avg, Self::Total(..))
            | (Fold::Min | Fold::Max, Self::Extreme(_))
            | (Fold::Exists, Self::Seen) => true,
            (Fold::Latest | Fold::First, Self::Placed(_, value)) => is_value(value.as_str()),
            (Fold::List { .. }, Self::List(entries)) => entries.iter().all(|(_, value)| is_value(value.as_str())),
            (Fold::Set { .. }, Self::Set(values, _)) => values.iter().all(|value| is_value(value.as_str())),
            _ => false,
        }
    }

    /// Whether this one event's contribution shows in `whole`: it is the latest, the greatest, in
    /// the list; every event shows in a count or a sum.
    #[must_use]
    pub fn shows_in(&self, whole: &Self) -> bool {
        match (self, whole) {
            (Self::Nothing, _) => false,
            (Self::Placed(at, _), Self::Placed(winner, _)) => at == winner,
            (Self::Extreme(value), Self::Extreme(winner)) => value == winner,
            (Self::List(one), Self::List(entries)) => one.iter().any(|entry| entries.contains(entry)),
            (Self::Set(one, _), Self::Set(values, _)) => one.iter().any(|value| values.contains(value)),
            _ => true,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let entry = |(at, value): &(Position, Json)| at.id.len() + value.as_str().len() + size_of::<(Position, Json)>();
        size_of::<Self>()
            + match self {
                Self::Placed(at, value) => at.id.len() + value.as_str().len(),
                Self::Extreme(Scalar::Text(text)) => text.len(),
                Self::List(entries) => entries.iter().map(entry).sum(),
                Self::Set(values, _) => values.iter().map(|value| value.as_str().len() + size_of::<Json>()).sum(),
                _ => 0,
            }
    }

    /// Whether values had to be left out of a bounded collection.
    #[must_use]
    pub fn has_more(&self) -> bool {
        matches!(self, Self::Set(_, true))
    }

    /// The field's value in a document, as JSON text.
    #[must_use]
    pub fn render<'a>(&'a self, field: &'a Field) -> Cow<'a, str> {
        match self {
            Self::Nothing => nothing(field),
            Self::Placed(_, value) => Cow::Borrowed(value.as_str()),
            Self::Count(count) => Cow::Owned(count.to_string()),
            Self::Total(sum, count) if field.fold == Fold::Avg => Cow::Owned(sum.divided_by(*count).to_string()),
            Self::Total(sum, _) => Cow::Owned(sum.to_string()),
            Self::Extreme(Scalar::Number(number)) => Cow::Owned(number.to_string()),
            Self::Extreme(Scalar::Text(text)) => Cow::Owned(quoted(text)),
            Self::List(entries) => Cow::Owned(array(entries.iter().map(|(_, value)| value))),
            Self::Set(values, _) => Cow::Owned(array(values)),
            Self::Seen => Cow::Borrowed("true"),
        }
    }
}

/// What a field without a value shows.
fn nothing(field: &Field) -> Cow<'_, str> {
    Cow::Borrowed(match (field.fold, &field.default) {
        (_, Some(default)) => default.as_str(),
        (Fold::Count | Fold::Sum, None) => "0",
        (Fold::Exists, None) => "false",
        (Fold::List { .. } | Fold::Set { .. }, None) => "[]",
        _ => "null",
    })
}

fn array<'a>(values: impl IntoIterator<Item = &'a Json>) -> String {
    let mut text = String::from("[");
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(value.as_str());
    }
    text.push(']');
    text
}

/// Keeps the last `last` by position, whatever the order of arrival.
fn merge_list(entries: &mut Vec<(Position, Json)>, other: Vec<(Position, Json)>, last: usize) {
    for entry in other {
        let place = entries.partition_point(|known| *known < entry);
        if entries.len() == last && place == 0 {
            continue;
        }
        entries.insert(place, entry);
        if entries.len() > last {
            entries.remove(0);
        }
    }
}

/// Keeps the first `max` in canonical order; tells whether one was left out.
fn merge_set(values: &mut Vec<Json>, other: Vec<Json>, max: usize) -> bool {
    let mut left_out = false;
    for value in other {
        if let Err(place) = values.binary_search(&value) {
            values.insert(place, value);
            if values.len() > max {
                values.pop();
                left_out = true;
            }
        }
    }
    left_out
}

/// What one event gives to the view: for some fields, the folded form of this event alone.
pub type Contribution = SmallVec<[(u16, FieldState); 4]>;

/// Fields that an event of their types gave no value for, although its condition held or could
/// not be asked: absent or oddly typed members. One entry an event and field.
pub type Gaps = SmallVec<[u16; 4]>;

/// What an event gives to each field. Total: a member that is absent or oddly typed is a gap.
#[must_use]
pub fn contribution(join: &Join, kind: TypeIndex, event: &Event<'_>) -> (Contribution, Gaps) {
    let (mut gives, mut gaps) = (Contribution::new(), Gaps::new());
    let mut subject = None;
    for &index in join.fields_of(kind) {
        let field = &join.fields()[usize::from(index)];
        if let Some(condition) = &field.condition {
            match condition.holds(subject.get_or_insert_with(|| join.subject(event))) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    gaps.push(index);
                    continue;
                }
            }
        }
        match alone(join, field, event) {
            Some(state) => gives.push((index, state)),
            None => gaps.push(index),
        }
    }
    (gives, gaps)
}

/// The folded form of one event alone.
fn alone(join: &Join, field: &Field, event: &Event<'_>) -> Option<FieldState> {
    let at = event.position();
    match (field.fold, field.value.as_ref()) {
        (Fold::Count, _) => Some(FieldState::Count(1)),
        (Fold::Exists, _) => Some(FieldState::Seen),
        (Fold::Sum | Fold::Avg, Some(source)) => number(join, source, event).map(|n| FieldState::Total(n, 1)),
        (Fold::Min | Fold::Max, Some(source)) => scalar(join, source, event).map(FieldState::Extreme),
        (fold, Some(source)) => event.raw(join, source).map(|raw| kept(fold, at, Json::canonical(&raw))),
        (_, None) => None,
    }
}

fn kept(fold: Fold, at: At<'_>, value: Json) -> FieldState {
    match fold {
        Fold::List { .. } => FieldState::List(vec![(at.to_position(), value)]),
        Fold::Set { .. } => FieldState::Set(vec![value], false),
        _ => FieldState::Placed(at.to_position(), value),
    }
}

fn number(join: &Join, source: &Source, event: &Event<'_>) -> Option<Number> {
    match source {
        Source::Timestamp => Some(Number::from(event.timestamp)),
        _ => Number::parse(&event.raw(join, source)?),
    }
}

fn scalar(join: &Join, source: &Source, event: &Event<'_>) -> Option<Scalar> {
    if let Some(number) = number(join, source, event) {
        return Some(Scalar::Number(number));
    }
    let raw = event.raw(join, source)?;
    unquoted(&raw).map(|text| Scalar::Text(text.into()))
}
