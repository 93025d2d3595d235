//! Trigger: brings a key's view up to date after rows of it were written.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

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
    /// Fold the tail anew, from [`View::base`].
    Refold,
    /// The definition changed and rows it needs are deleted.
    Refuse(Position),
}

/// Decides what to do, given the stored view and new rows of its key.
#[must_use]
pub fn decide(join: &Join, view: Option<&View>, new: &[Row]) -> TriggerDecision {
    let Some(view) = view else { return TriggerDecision::Refold };
    if view.fingerprint != join.fingerprint() {
        return match &view.trimmed_to {
            Some(trimmed_to) => TriggerDecision::Refuse(trimmed_to.clone()),
            None => TriggerDecision::Refold,
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
        TriggerDecision::Refold
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

/// Of so many writes of a view, one also folds its tail anew and compares.
const COMPARE_EVERY: u64 = 256;
/// Where the tail is long, of so many writes a row of it: what comparing costs an event stays constant.
const COMPARE_TAIL: u64 = 8;

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
        Some(view) if view.fingerprint == join.fingerprint() => TriggerDecision::Refold,
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
    for attempt in 0..ATTEMPTS_MAX {
        let glanced = if attempt == 0 { store.glance(key).await? } else { None };
        let stored = match glanced.filter(|view| is_next(join, view, new)) {
            Some(view) => Some(view),
            None => store.view(key).await?, // always read before the rows
        };
        keep_breaches(store, key, stored.as_ref(), new, &mut breaches).await?;
        done.breaches = breaches.len() as u64;
        done.erased = erased(stored.as_ref(), new);
        let decision = decide(join, stored.as_ref(), new);
        let next = match decision {
            TriggerDecision::Nothing => return Ok(done),
            TriggerDecision::Refuse(trimmed_to) => return Err(Error::Incomplete { key: key.into(), trimmed_to }),
            TriggerDecision::Fast(rows) => {
                let next = fast(join, key, stored.as_ref(), &rows)?;
                if is_compared(key, next.version, next.tail_events()) {
                    compared(store, join, key, stored.as_ref(), next, &mut done).await?
                } else {
                    next
                }
            }
            TriggerDecision::Refold => refolded(store, join, key, stored.as_ref(), &mut done).await?,
        };
        if stored.is_none() && next.events == 0 {
            return Ok(Triggered::default()); // there is no such key, and it gets no view
        }
        if store.put_view(key, stored.as_ref(), &next).await? == Written::Done {
            let before = stored.as_ref().map_or(0, |view| view.events);
            done.wants_snapshot = is_due(join.snapshot_every(), next.tail_events(), before, next.events);
            done.written = true;
            done.closed_at = next.snapshot.as_ref().map(|snapshot| snapshot.closed_at);
            return Ok(done);
        }
        done.conflicts += 1;
        done.diverged = false; // the view was not the newest: a trim may have deleted what it needs
    }
    Err(Error::Contended { key: key.into() })
}

/// Whether all of `new` is folded onto the view, as it is or as it has become since: then a view that
/// is not the newest is found out by its version.
fn is_next(join: &Join, view: &View, new: &[Row]) -> bool {
    let is_base = view.fingerprint == join.fingerprint() && !view.behind;
    is_base && !new.is_empty() && new.iter().all(|row| row.position > view.folded_to)
}

/// Whether a snapshot should be asked for where a key's events grow from one count to another: when
/// more than `every` of them are in the tail, each time that so many have come, or, if the tail is
/// longer, half as many as it has. So a tail is read once or twice an event, however long it is, and
/// whatever of it can be closed.
#[must_use]
pub fn is_due(every: u64, tail: u64, before: u64, after: u64) -> bool {
    let step = every.max(1).max(1 << tail.max(1).ilog2());
    tail > every && after.saturating_sub(1) / step > before.saturating_sub(1) / step
}

/// Whether a write of a view, chosen as if by chance, is compared with a refold.
#[must_use]
pub fn is_compared(key: &str, version: u64, tail: u64) -> bool {
    xxh3_64_with_seed(key.as_bytes(), version).is_multiple_of(COMPARE_EVERY.max(COMPARE_TAIL * tail))
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
    let anew = refolded(store, join, key, stored, done).await?;
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
    done: &mut Triggered,
) -> Result<View, Error<S::Error>> {
    let snapshot = stored.and_then(|view| view.base(join));
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
    if snapshot.is_of_erased() {
        return Ok(()); // see `erased`
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
    let snapshot = stored.and_then(|view| view.snapshot.as_ref()).filter(|snapshot| snapshot.is_of_erased());
    snapshot.map_or(0, |snapshot| new.iter().filter(|row| row.position <= snapshot.through).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tail that could not be closed was asked for at each write: each time, all of it was read.
    #[test]
    fn a_tail_is_due_when_it_gets_too_long_and_each_time_it_has_doubled() {
        let due: Vec<u64> = (1..=1_000).filter(|events| is_due(100, *events, events - 1, *events)).collect();
        assert_eq!(due, [101, 129, 257, 513]);
        assert!(is_due(100, 5_000, 0, 5_000), "a batch may be large");
        assert!(is_due(100, 101, 1_100, 1_101) && !is_due(100, 100, 1_100, 1_101), "the tail, not the events");
    }

    /// Comparing reads the tail: of a short one, one write in 256 is compared; of a longer one so few that
    /// each write costs an eighth of a row, however long it is.
    #[test]
    fn comparing_costs_an_event_at_most_an_eighth_of_a_row() {
        const WRITES: u64 = 100_000;
        for (tail, expected) in [(1, WRITES / 256), (32, WRITES / 256), (100, WRITES / 800), (1_000, WRITES / 8_000)] {
            let compared = (0..WRITES).filter(|version| is_compared("key", *version, tail)).count() as u64;
            assert!(compared > expected / 2 && compared < 2 * expected, "tail {tail}: {compared}, not {expected}");
        }
    }

    /// A tail that was cut to just below a length at which it was asked for was asked for, and read, at
    /// nearly every event.
    #[test]
    fn a_tail_is_read_once_or_twice_an_event_whatever_is_left_of_it() {
        const EVENTS: u64 = 20_000;
        for every in [1, 10, 100] {
            for left in [0, 1, 95, 99, 100, 101, 127, 128, 150, 199, 200, 201, 400, 3_000] {
                let (mut tail, mut read) = (0, 0);
                for events in 1..=EVENTS {
                    tail += 1;
                    if is_due(every, tail, events - 1, events) {
                        read += tail;
                        tail = tail.min(left);
                    }
                }
                assert!(read < 3 * EVENTS, "every {every}, {left} left: {read} rows read");
                assert!(tail <= 2 * every + 3 * left, "every {every}, {left} left: {tail}");
            }
        }
    }
}
