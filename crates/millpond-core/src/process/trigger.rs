//! Trigger: brings a key's view up to date after rows of it were written.

use std::collections::BTreeSet;

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
    /// Fold these in; no history is read. All of them are above `folded_to`, and whatever came before
    /// them is folded, so none is in yet.
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
    } else if !view.behind && open.iter().all(|row| row.position > view.folded_to) {
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
    /// Writes that others were faster with.
    pub conflicts: u64,
    /// Whether what was folded step by step was not what a refold gave: must never be. The refold
    /// was written.
    pub diverged: bool,
    /// Whether the tail has grown so long that a snapshot should be asked for.
    pub wants_snapshot: bool,
    /// When the snapshot was made that the view rests on, in milliseconds since 1970 UTC.
    pub closed_at: Option<u64>,
    /// Rows that were written after their place was closed: they are in the late queue now, and
    /// the margin is broken.
    pub breaches: u64,
    /// Rows of an erased key that came again: they are not folded, and a trim is due.
    pub erased: u64,
}

/// Of so many writes of a view, one also folds its tail anew and compares; where the tail is longer,
/// of so many more: what it costs an event stays constant.
const COMPARE_EVERY: u64 = 256;

/// Brings the view of `key` up to date with `new` rows of it.
///
/// # Errors
/// See [`Error`]; the rows can be given again.
pub async fn trigger<S: Store>(store: &S, join: &Join, key: &str, new: &[Row]) -> Result<Triggered, Error<S::Error>> {
    bring(store, join, key, new, decide).await
}

/// Folds the tail of `key` anew, whatever is new: for those whose rows were not brought.
///
/// # Errors
/// As [`trigger`].
pub async fn refold<S: Store>(store: &S, join: &Join, key: &str) -> Result<Triggered, Error<S::Error>> {
    let always = |join: &Join, view: Option<&View>, _: &[Row]| match view {
        Some(view) if view.fingerprint == join.fingerprint() => TriggerDecision::Refold { keep_snapshot: true },
        view => decide(join, view, &[]),
    };
    bring(store, join, key, &[], always).await
}

async fn bring<S: Store>(
    store: &S,
    join: &Join,
    key: &str,
    new: &[Row],
    decide: impl Fn(&Join, Option<&View>, &[Row]) -> TriggerDecision,
) -> Result<Triggered, Error<S::Error>> {
    let mut done = Triggered::default();
    let mut breaches = BTreeSet::new();
    for _ in 0..ATTEMPTS_MAX {
        let stored = store.view(key).await?; // always read before the rows
        keep_breaches(store, key, stored.as_ref(), new, &mut breaches).await?;
        done.breaches = breaches.len() as u64;
        done.erased = erased(stored.as_ref(), new);
        let decision = decide(join, stored.as_ref(), new);
        let next = match decision {
            TriggerDecision::Nothing => return Ok(done),
            TriggerDecision::Refuse(trimmed_to) => return Err(Error::Incomplete { key: key.into(), trimmed_to }),
            TriggerDecision::Fast(rows) => {
                let next = fast(join, key, stored.as_ref(), &rows)?;
                if next.version.is_multiple_of(COMPARE_EVERY.max(next.tail_events().next_power_of_two())) {
                    compared(store, join, key, stored.as_ref(), next, &mut done).await?
                } else {
                    next
                }
            }
            TriggerDecision::Refold { keep_snapshot } => {
                refolded(store, join, key, stored.as_ref(), keep_snapshot, &mut done).await?
            }
        };
        if store.put_view(key, stored.as_ref(), &next).await? == Written::Done {
            let before = stored.as_ref().map_or(0, View::tail_events);
            done.wants_snapshot = is_due(join.snapshot_every(), before, next.tail_events());
            done.written = true;
            done.closed_at = next.snapshot.as_ref().map(|snapshot| snapshot.closed_at);
            return Ok(done);
        }
        done.conflicts += 1;
    }
    Err(Error::Contended { key: key.into() })
}

/// Whether a tail that grows from one length to another should be snapshotted: as it gets longer
/// than `every`, and each time that it has doubled since. So what cannot be closed yet is looked at
/// seldom, and the cost an event stays constant.
#[must_use]
pub fn is_due(every: u64, before: u64, after: u64) -> bool {
    let doublings = |tail: u64| (tail.saturating_sub(1) / every.max(1)).checked_ilog2();
    doublings(after) > doublings(before)
}

/// The next view as it was folded step by step, or the refold that shows it to be wrong or behind.
async fn compared<S: Store>(
    store: &S,
    join: &Join,
    key: &str,
    stored: Option<&View>,
    next: View,
    done: &mut Triggered,
) -> Result<View, Error<S::Error>> {
    let anew = refolded(store, join, key, stored, true, done).await?;
    done.refolded = false;
    // It may hold rows whose own trigger is still due, but none less.
    done.diverged = anew.events < next.events || (anew.events == next.events && anew.state != next.state);
    Ok(anew)
}

fn fast<E>(join: &Join, key: &str, stored: Option<&View>, rows: &[Row]) -> Result<View, Error<E>> {
    let mut next = stored.cloned().unwrap_or_else(|| View::unstored(join, Folded::from_snapshot(join, None), None));
    let folded = next.folded().fold_all(join, rows).map_err(|source| Error::Unreadable { key: key.into(), source })?;
    next.replace(folded);
    next.version += 1;
    Ok(next)
}

async fn refolded<S: Store>(
    store: &S,
    join: &Join,
    key: &str,
    stored: Option<&View>,
    keep_snapshot: bool,
    done: &mut Triggered,
) -> Result<View, Error<S::Error>> {
    let snapshot = stored.filter(|_| keep_snapshot).and_then(|view| view.snapshot.clone());
    let tail = all_rows(store, key, snapshot.as_ref().map(|snapshot| &snapshot.through), None).await?;
    done.refolded = true;
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
async fn keep_breaches<S: Store>(
    store: &S,
    key: &str,
    stored: Option<&View>,
    new: &[Row],
    kept: &mut BTreeSet<Position>,
) -> Result<(), S::Error> {
    let Some(snapshot) = stored.and_then(|view| view.snapshot.as_ref()) else { return Ok(()) };
    if snapshot.events == 0 {
        return Ok(()); // an erased key's: see `erased`
    }
    for row in new.iter().filter(|row| row.position <= snapshot.through && row.put_at > snapshot.closed_at) {
        if !kept.contains(&row.position) {
            let closed = snapshot.through.clone();
            store.keep_late(&LateEvent { key: key.into(), row: row.clone(), closed }).await?;
            kept.insert(row.position.clone());
        }
    }
    Ok(())
}

/// How many of the rows were erased before they came again.
fn erased(stored: Option<&View>, new: &[Row]) -> u64 {
    let snapshot = stored.and_then(|view| view.snapshot.as_ref()).filter(|snapshot| snapshot.events == 0);
    snapshot.map_or(0, |snapshot| new.iter().filter(|row| row.position <= snapshot.through).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tail that could not be closed was asked for at each write: each time, all of it was read.
    #[test]
    fn a_tail_is_due_when_it_gets_too_long_and_each_time_it_has_doubled() {
        let due: Vec<u64> = (1..=1_000).filter(|after| is_due(100, after - 1, *after)).collect();
        assert_eq!(due, [101, 201, 401, 801]);
        assert!(is_due(100, 0, 5_000) && !is_due(100, 150, 150) && !is_due(100, 300, 20));
        assert!(is_due(0, 0, 2), "every event may be one too many");
    }
}
