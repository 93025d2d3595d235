//! The folded form that a view is rendered from.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::fold::{Contribution, FieldState, Gaps, contribution};
use crate::join::{Join, TypeIndex};
use crate::json::quoted;

/// Version of the stored form of a state; part of the fingerprint.
pub const STATE_VERSION: u32 = 1;

/// A state larger than this is worth a warning: each of its changes is written whole.
pub const STATE_BYTES_WARN: usize = 64 * 1024;
/// A state larger than this marks its view `_overflow`: DynamoDB's items end at 400 KB.
pub const STATE_BYTES_MAX: usize = 256 * 1024;

/// Why bytes are no state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    /// They end too early, or say what there is not.
    #[error("{0}")]
    Bytes(#[from] postcard::Error),
    /// They are of a definition with other fields.
    #[error("of {fields} fields, and not of {expected}")]
    Fields {
        /// So many it has.
        fields: usize,
        /// So many the definition has.
        expected: usize,
    },
    /// A field holds what its fold never makes.
    #[error("field `{0}` holds what its fold does not make")]
    Field(String),
}

/// One [`FieldState`] a field of the join, in the order of [`Join::fields`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Vec<FieldState>);

impl State {
    /// The state of no events.
    #[must_use]
    pub fn empty(join: &Join) -> Self {
        Self(vec![FieldState::Nothing; join.fields().len()])
    }

    /// Folds one event that is not in this state yet.
    pub fn fold(&mut self, join: &Join, kind: TypeIndex, event: &Event<'_>) -> Gaps {
        let (gives, gaps) = contribution(join, kind, event);
        self.take(join, gives);
        gaps
    }

    /// Folds what one event gives.
    pub fn take(&mut self, join: &Join, gives: Contribution) {
        for (index, alone) in gives {
            let index = usize::from(index);
            self.0[index].merge(join.fields()[index].fold, alone);
        }
    }

    /// Merges the state of other, distinct events.
    pub fn merge(&mut self, join: &Join, other: Self) {
        for ((mine, theirs), field) in self.0.iter_mut().zip(other.0).zip(join.fields()) {
            mine.merge(field.fold, theirs);
        }
    }

    /// The fields' states, in the order of [`Join::fields`].
    #[must_use]
    pub fn fields(&self) -> &[FieldState] {
        &self.0
    }

    /// About how many bytes it takes, in memory as on disk. A pure function of the state, so that
    /// what depends on it does not depend on the order of arrival.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(FieldState::bytes).sum()
    }

    /// The canonical bytes: equal sets of events give equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a state always has bytes: it is plain data")
    }

    /// Reads [`State::to_bytes`], from where nothing else guards the bytes: what is read can be shown.
    ///
    /// # Errors
    /// If the bytes are damaged, or of another definition.
    pub fn from_bytes(join: &Join, bytes: &[u8]) -> Result<Self, BadState> {
        let state: Self = postcard::from_bytes(bytes)?;
        let (fields, expected) = (state.0.len(), join.fields().len());
        if fields != expected {
            return Err(BadState::Fields { fields, expected });
        }
        match state.0.iter().zip(join.fields()).find(|(state, field)| !state.is_of(field.fold)) {
            Some((_, field)) => Err(BadState::Field(field.name.clone())),
            None => Ok(state),
        }
    }

    /// The document of a key as one line of JSON: `id`, then the fields as the definition orders
    /// them, then the marks `_more` (bounded sets that left values out) and `_overflow`, if any.
    #[must_use]
    pub fn document(&self, join: &Join, key: &str) -> String {
        let mut text = format!("{{\"id\":{}", quoted(key));
        for (index, field) in join.shown_fields() {
            let _ = write!(text, ",{}:{}", quoted(&field.name), self.0[index].render(field));
        }
        let more: Vec<_> = join
            .shown_fields()
            .filter(|(index, _)| self.0[*index].has_more())
            .map(|(_, field)| quoted(&field.name))
            .collect();
        if !more.is_empty() {
            let _ = write!(text, ",\"_more\":[{}]", more.join(","));
        }
        if self.bytes() > STATE_BYTES_MAX {
            text.push_str(",\"_overflow\":true");
        }
        text.push('}');
        text
    }
}
