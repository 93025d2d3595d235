//! Snapshot: folds the rows that can no longer be preceded by a late one into the snapshot.

use super::{ATTEMPTS_MAX, Error, all_rows};
use crate::join::Join;
use crate::position::Position;
use crate::snapshot::{Closing, SnapshotDecision, decide};
use crate::store::{Store, Written};
use crate::view::{Folded, View};

/// What a snapshot run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshotted {
    /// Whether a new snapshot is stored.
    pub closed: bool,
    /// Whether the snapshot holds rows that no trim was begun for: one is due, and may have been
    /// before.
    pub trim_due: bool,
    /// Events in the snapshot now.
    pub events: u64,
    /// Rows left in the tail.
    pub tail_events: u64,
}

impl Snapshotted {
    fn unchanged(view: &View, tail_events: u64) -> Self {
        let events = view.snapshot.as_ref().map_or(0, |snapshot| snapshot.events);
        Self { closed: false, trim_due: events > 0 && view.through() > view.trimmed_to.as_ref(), events, tail_events }
    }
}

/// Closes what can be closed of a key.
///
/// # Errors
/// See [`Error`]; nothing was changed, and it can be asked for again.
pub async fn snapshot<S: Store>(
    store: &S,
    join: &Join,
    key: &str,
    now: u64,
    closing: Closing,
) -> Result<Snapshotted, Error<S::Error>> {
    for _ in 0..ATTEMPTS_MAX {
        let stored = store.view(key).await?; // always read before the rows
        if let Some(stored) = stored.as_ref().filter(|view| view.fingerprint != join.fingerprint())
            && let Some(trimmed_to) = &stored.trimmed_to
        {
            return Err(Error::Incomplete { key: key.into(), trimmed_to: trimmed_to.clone() });
        }
        // A view of another definition is no base; its version is, for the conditional write.
        let version = stored.as_ref().map_or(0, |view| view.version);
        let base = stored.clone().filter(|view| view.fingerprint == join.fingerprint());
        let mut view = base.unwrap_or_else(|| {
            let snapshot = stored.as_ref().and_then(|view| view.base(join));
            View::unstored(join, Folded::from_snapshot(join, snapshot.as_ref()), snapshot)
        });
        // What may be closed first: often that is nothing, and the rest need not be read.
        let boundary = Position::new(now.saturating_sub(join.lateness_ms()), "");
        // Once another snapshot lies over it, nothing knows any more what was erased: what came again goes first.
        if let Some(erased) = view.snapshot.as_ref().filter(|snapshot| snapshot.is_of_erased())
            && !store.rows(key, None, Some(&erased.through)).await?.rows.is_empty()
        {
            return Ok(Snapshotted { trim_due: true, ..Snapshotted::unchanged(&view, view.tail_events()) });
        }
        let mut tail = all_rows(store, key, view.through(), Some(&boundary)).await?;
        if tail.is_empty() {
            return Ok(Snapshotted::unchanged(&view, view.tail_events()));
        }
        tail.extend(all_rows(store, key, Some(&boundary), None).await?);
        let decision =
            decide(join, &view, &tail, now, closing).map_err(|source| Error::Unreadable { key: key.into(), source })?;
        let SnapshotDecision::Close { snapshot, folded, tail_events } = decision else {
            return Ok(Snapshotted::unchanged(&view, tail.len() as u64));
        };
        let events = snapshot.events;
        view.snapshot = Some(*snapshot);
        view.replace(*folded);
        view.version = version + 1;
        if store.put_view(key, stored.as_ref(), &view).await? == Written::Done {
            return Ok(Snapshotted { closed: true, trim_due: true, events, tail_events });
        }
    }
    Err(Error::Contended { key: key.into() })
}
