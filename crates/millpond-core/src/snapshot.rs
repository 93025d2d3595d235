//! Snapshots: the fold of the events that nothing can precede or join any more.

use serde::{Deserialize, Serialize};

use crate::join::Join;
use crate::position::Position;
use crate::reject::Rejection;
use crate::state::State;
use crate::store::Row;
use crate::view::{Folded, View};

/// The fold of every accepted event at or below `through`, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The fold.
    pub state: State,
    /// The highest closed position.
    pub through: Position,
    /// How many events are in it.
    pub events: u64,
    /// When it was made, in milliseconds since 1970 UTC.
    pub closed_at: u64,
}

impl Snapshot {
    /// Whether it is that of an erased key: no other is of no events. What is at or below it stays out, whoever folds.
    #[must_use]
    pub fn is_of_erased(&self) -> bool {
        self.events == 0
    }
}

/// Which rows a snapshot may close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// One machine: rows whose timestamp **and** `put_at` are older than the lateness, as long as
    /// none below them is younger. `through` is the last of them, so that history loaded in any
    /// order stays exact.
    Settled,
    /// Many writers: rows below now - lateness, which the consumer refuses a margin earlier.
    /// `through` is that time.
    Elapsed,
}

/// What to do about a key's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotDecision {
    /// No row can be closed yet.
    Nothing,
    /// A new snapshot, and the whole fold made anew from it and the rows above.
    Close {
        /// The snapshot to store.
        snapshot: Box<Snapshot>,
        /// The view's fold to store with it: always rewritten, never carried over.
        folded: Box<Folded>,
        /// Rows that stay in the tail.
        tail_events: u64,
    },
}

/// Decides on a snapshot of `view`, given all rows after its present one, in order.
///
/// # Errors
/// If a row is no event any more: the store is damaged.
pub fn decide(
    join: &Join,
    view: &View,
    tail: &[Row],
    now: u64,
    closing: Closing,
) -> Result<SnapshotDecision, Rejection> {
    let closed = closable(tail, now.saturating_sub(join.lateness_ms()), closing);
    let (rows, open) = tail.split_at(closed);
    let Some(last) = rows.last() else { return Ok(SnapshotDecision::Nothing) };
    let through = match closing {
        Closing::Settled => last.position.clone(),
        Closing::Elapsed => Position::new(now.saturating_sub(join.lateness_ms()), ""),
    };
    let mut below = Folded::from_snapshot(join, view.snapshot.as_ref()).fold_all(join, rows)?;
    below.folded_to = below.folded_to.max(through.clone()); // as a fold from the snapshot begins
    let snapshot = Snapshot { state: below.state.clone(), through, events: below.events, closed_at: now };
    let folded = below.fold_all(join, open)?;
    Ok(SnapshotDecision::Close {
        snapshot: Box::new(snapshot),
        folded: Box::new(folded),
        tail_events: open.len() as u64,
    })
}

/// How many rows from the front can be closed.
fn closable(tail: &[Row], boundary: u64, closing: Closing) -> usize {
    tail.iter()
        .take_while(|row| row.position.timestamp < boundary && (closing == Closing::Elapsed || row.put_at < boundary))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At the boundary itself nothing is closed: what lies there may still be joined, or has an id above it.
    #[test]
    fn what_is_not_older_than_the_boundary_stays_open() {
        let row =
            |timestamp: u64, put_at: u64| Row { position: Position::new(timestamp, "id"), put_at, body: "{}".into() };
        for (rows, settled, elapsed) in [
            ([row(8, 9), row(9, 9)], 2, 2),
            ([row(8, 9), row(10, 9)], 1, 1),
            ([row(8, 9), row(11, 9)], 1, 1),
            ([row(8, 9), row(9, 10)], 1, 2),
            ([row(8, 11), row(9, 9)], 0, 2),
        ] {
            assert_eq!(closable(&rows, 10, Closing::Settled), settled, "{rows:?}");
            assert_eq!(closable(&rows, 10, Closing::Elapsed), elapsed, "{rows:?}");
        }
    }
}
