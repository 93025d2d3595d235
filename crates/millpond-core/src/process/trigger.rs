//! Trigger: brings a key's view up to date after rows of it were written.

use super::{ATTEMPTS_MAX, Error, all_rows};
use crate::join::Join;
use crate::position::Position;
use crate::store::{LateEvent, Row, Store, Written};
use crate::view::{Folded, View};

/// What new rows ask of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerDecision {
    /// The snapshot holds all of them.
    Nothing,
    /// Fold these in; no history is read. All of them are above `folded_to`, so none is in yet.
    Fast(Vec<Row>),
    /// Fold the tail anew; from the snapshot, or from nothing if it is of another definition.
    Refold {
        /// Whether the view's snapshot can be built upon.
        keep_snapshot: bool,
    },
    /// The definition changed and rows it needs are deleted.
    Refuse(Position),
}

/// Decides what to do, given the stored view and new rows of its key.
#[must_use]
pub fn decide(join: &Join, view: Option<&View>, new: &[Row]) -> TriggerDecision {
    let Some(view) = view else { return TriggerDecision::Refold { keep_snapshot: false } };
    if view.fingerprint != join.fingerprint() {
        return match &view.trimmed_to {
            Some(trimmed_to) => TriggerDecision::Refuse(trimmed_to.clone()),
            None => TriggerDecision::Refold { keep_snapshot: false },
        };
    }
    let open: Vec<&Row> =
        new.iter().filter(|row| view.through().is_none_or(|through| row.position > *through)).collect();
    if open.is_empty() {
        TriggerDecision::Nothing
    } else if open.iter().all(|row| row.position > view.folded_to) {
        let mut rows: Vec<Row> = open.into_iter().cloned().collect();
        rows.sort_by(|a, b| a.position.cmp(&b.position));
        rows.dedup_by(|a, b| a.position == b.position);
        TriggerDecision::Fast(rows)
    } else {
        TriggerDecision::Refold { keep_snapshot: true }
    }
}

/// What a trigger did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triggered {
    /// Whether the view was written.
    pub written: bool,
    /// Whether history was read for it.
    pub refolded: bool,
    /// Whether the tail has grown so long that a snapshot should be asked for.
    pub wants_snapshot: bool,
    /// Rows that were written after their place was closed: they are in the late queue now, and
    /// the margin is broken.
    pub breaches: u64,
}

/// Brings the view of `key` up to date with `new` rows of it.
///
/// # Errors
/// See [`Error`]; the rows can be given again.
pub async fn trigger<S: Store>(store: &S, join: &Join, key: &str, new: &[Row]) -> Result<Triggered, Error<S::Error>> {
    for _ in 0..ATTEMPTS_MAX {
        let stored = store.view(key).await?; // always read before the rows
        let breaches = keep_breaches(store, key, stored.as_ref(), new).await?;
        let (next, refolded) = match decide(join, stored.as_ref(), new) {
            TriggerDecision::Nothing => return Ok(Triggered { breaches, ..Triggered::default() }),
            TriggerDecision::Refuse(trimmed_to) => return Err(Error::Incomplete { key: key.into(), trimmed_to }),
            TriggerDecision::Fast(rows) => (fast(join, key, stored.as_ref(), &rows)?, false),
            TriggerDecision::Refold { keep_snapshot } => {
                (refold(store, join, key, stored.as_ref(), keep_snapshot).await?, true)
            }
        };
        if store.put_view(key, &next).await? == Written::Done {
            let wants_snapshot = next.tail_events() > join.snapshot_every();
            return Ok(Triggered { written: true, refolded, wants_snapshot, breaches });
        }
    }
    Err(Error::Contended { key: key.into() })
}

fn fast<E>(join: &Join, key: &str, stored: Option<&View>, rows: &[Row]) -> Result<View, Error<E>> {
    let mut next = stored.cloned().unwrap_or_else(|| View::unstored(join, Folded::from_snapshot(join, None), None));
    let folded = next.folded().fold_all(join, rows).map_err(|source| Error::Unreadable { key: key.into(), source })?;
    next.replace(folded);
    next.version += 1;
    Ok(next)
}

async fn refold<S: Store>(
    store: &S,
    join: &Join,
    key: &str,
    stored: Option<&View>,
    keep_snapshot: bool,
) -> Result<View, Error<S::Error>> {
    let snapshot = stored.filter(|_| keep_snapshot).and_then(|view| view.snapshot.clone());
    let tail = all_rows(store, key, snapshot.as_ref().map(|snapshot| &snapshot.through), None).await?;
    let folded = Folded::from_snapshot(join, snapshot.as_ref())
        .fold_all(join, &tail)
        .map_err(|source| Error::Unreadable { key: key.into(), source })?;
    let mut next = View::unstored(join, folded, snapshot);
    if let Some(stored) = stored {
        next.version = stored.version;
        next.trimmed_to.clone_from(&stored.trimmed_to);
        next.folded_to = next.folded_to.max(stored.folded_to.clone());
    }
    next.version += 1;
    Ok(next)
}

/// Rows below the boundary that were written after it was drawn are in no snapshot: the margin was
/// too short. They must not be lost without a word.
async fn keep_breaches<S: Store>(store: &S, key: &str, stored: Option<&View>, new: &[Row]) -> Result<u64, S::Error> {
    let Some(snapshot) = stored.and_then(|view| view.snapshot.as_ref()) else { return Ok(0) };
    let mut breaches = 0;
    for row in new.iter().filter(|row| row.position <= snapshot.through && row.put_at > snapshot.closed_at) {
        store.keep_late(&LateEvent { key: key.into(), row: row.clone(), closed: snapshot.through.clone() }).await?;
        breaches += 1;
    }
    Ok(breaches)
}
