//! The view of one key: its state, how far it has folded, and the snapshot below it.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::fold::Gaps;
use crate::join::{Fingerprint, Join};
use crate::position::Position;
use crate::reject::Rejection;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::store::Row;

/// What is stored for a key.
///
/// `state` is the fold of a set S of accepted events with snapshot set ⊆ S; `folded_to` is at
/// least the highest position of S, and S never shrinks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Counts the writes of this view, from 1; a write is conditional on it.
    pub version: u64,
    /// The definition that made it.
    pub fingerprint: Fingerprint,
    /// The fold of the snapshot and the tail.
    pub state: State,
    /// At least the highest position ever folded.
    pub folded_to: Position,
    /// How many events are folded, those of the snapshot included.
    pub events: u64,
    /// The closed part of the history.
    pub snapshot: Option<Snapshot>,
    /// Rows at or below are deleted, or about to be: history is complete only while this is `None`.
    pub trimmed_to: Option<Position>,
    /// Rows may be stored that were never folded: whoever comes next must refold.
    #[serde(default)]
    pub behind: bool,
}

/// A state, how far it goes, and how many events are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The fold.
    pub state: State,
    /// The highest position in it.
    pub folded_to: Position,
    /// How many events.
    pub events: u64,
}

impl Folded {
    /// The fold of nothing but `snapshot`.
    #[must_use]
    pub fn from_snapshot(join: &Join, snapshot: Option<&Snapshot>) -> Self {
        match snapshot {
            Some(snapshot) => {
                Self { state: snapshot.state.clone(), folded_to: snapshot.through.clone(), events: snapshot.events }
            }
            None => Self { state: State::empty(join), folded_to: Position::default(), events: 0 },
        }
    }

    /// Folds a row that is not in here yet.
    ///
    /// # Errors
    /// If the row's body is no event: it was one when it was written, so the store is damaged.
    pub fn fold(&mut self, join: &Join, row: &Row) -> Result<Gaps, Rejection> {
        let event = Event::read(join, row.body.as_bytes())?;
        let gaps = match join.type_index(&event.kind) {
            Some(kind) => self.state.fold(join, kind, &event),
            None => Gaps::new(),
        };
        self.events += 1;
        if row.position > self.folded_to {
            self.folded_to = row.position.clone();
        }
        Ok(gaps)
    }

    /// Folds rows that are not in here yet.
    ///
    /// # Errors
    /// As [`Folded::fold`].
    pub fn fold_all<'r>(mut self, join: &Join, rows: impl IntoIterator<Item = &'r Row>) -> Result<Self, Rejection> {
        for row in rows {
            self.fold(join, row)?;
        }
        Ok(self)
    }
}

impl View {
    /// A view of `folded` that is not stored yet; its version is the one before the first.
    #[must_use]
    pub fn unstored(join: &Join, folded: Folded, snapshot: Option<Snapshot>) -> Self {
        Self {
            version: 0,
            fingerprint: join.fingerprint(),
            state: folded.state,
            folded_to: folded.folded_to,
            events: folded.events,
            snapshot,
            trimmed_to: None,
            behind: false,
        }
    }

    /// What a fold by `join` begins with, instead of with nothing: the snapshot, unless it is of another definition. That
    /// of an erased key is of nothing, by any.
    #[must_use]
    pub fn base(&self, join: &Join) -> Option<Snapshot> {
        let snapshot = self.snapshot.as_ref()?;
        if self.fingerprint == join.fingerprint() {
            return Some(snapshot.clone());
        }
        snapshot.is_of_erased().then(|| Snapshot { state: State::empty(join), ..snapshot.clone() })
    }

    /// The highest closed position; what is at or below it can no longer be joined.
    #[must_use]
    pub fn through(&self) -> Option<&Position> {
        self.snapshot.as_ref().map(|snapshot| &snapshot.through)
    }

    /// Events after the snapshot.
    #[must_use]
    pub fn tail_events(&self) -> u64 {
        self.events - self.snapshot.as_ref().map_or(0, |snapshot| snapshot.events)
    }

    /// Whether the key was erased and nothing of it came since: its snapshot is that of no events.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.events == 0 && self.snapshot.is_some()
    }

    /// The folded part.
    #[must_use]
    pub fn folded(&self) -> Folded {
        Folded { state: self.state.clone(), folded_to: self.folded_to.clone(), events: self.events }
    }

    /// Puts a newer fold in place of the old; `folded_to` never goes back.
    pub fn replace(&mut self, folded: Folded) {
        self.state = folded.state;
        self.events = folded.events;
        self.behind = false;
        if folded.folded_to > self.folded_to {
            self.folded_to = folded.folded_to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    #[test]
    fn a_key_is_erased_while_its_snapshot_is_of_nothing_and_nothing_came_since() {
        let join = Join::parse("name = \"j\"\nkey.t = \"k\"\n[view]\nn = { count = \"t\" }\n").unwrap();
        let nothing = Folded::from_snapshot(&join, None);
        let snapshot =
            |events| Snapshot { state: State::empty(&join), through: Position::new(9, ""), events, closed_at: 9 };
        let view = |events, snapshot| View::unstored(&join, Folded { events, ..nothing.clone() }, snapshot);
        assert!(view(0, Some(snapshot(0))).is_erased());
        assert!(!view(0, None).is_erased(), "there is no such key");
        assert!(!view(1, Some(snapshot(0))).is_erased(), "it came back");
        assert!(!view(1, Some(snapshot(1))).is_erased() && !view(1, None).is_erased());
    }
}
