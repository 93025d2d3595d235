//! Trim: which rows a durable snapshot covers and may be deleted.

use crate::position::Position;
use crate::view::View;

/// What to do about a key's covered rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrimDecision {
    /// There is no snapshot, or everything it covers is gone.
    Nothing,
    /// Delete the rows at or below.
    DeleteThrough(Position),
}

/// Decides what may be deleted, given the key's **stored** view.
#[must_use]
pub fn decide(view: Option<&View>) -> TrimDecision {
    match view.and_then(View::through) {
        Some(through) => TrimDecision::DeleteThrough(through.clone()),
        None => TrimDecision::Nothing,
    }
}
