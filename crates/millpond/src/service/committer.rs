//! Group commit: what several requests bring while the disk works goes into the next commit
//! together, so that one sync serves them all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use millpond_core::Rejection;
use millpond_store::{Batch, Error, Outcome, Store};
use tokio::sync::{mpsc, oneshot};

use super::hosted::{CommitCounts, Failed, Outcomes, Parcel};
use super::{Clock, Refused};

/// Events and bytes of a commit that more requests may still be added to: bounds how long readers
/// wait for it.
const GROUP_EVENTS: usize = 4_096;
const GROUP_BYTES: usize = 4 << 20;

/// A request that waits for its commit.
pub(super) struct Waiting {
    pub(super) parcel: Arc<Parcel>,
    pub(super) answer: oneshot::Sender<Result<Outcomes, Refused>>,
}

/// Commits what comes until nobody can send any more.
pub(super) fn run(
    name: &str,
    store: &RwLock<Option<Store>>,
    mut waiting: mpsc::Receiver<Waiting>,
    clock: Clock,
    counts: &CommitCounts,
    failed: &Failed,
) {
    while let Some(first) = waiting.blocking_recv() {
        let group = gather(first, &mut waiting);
        let store = store.read().unwrap_or_else(PoisonError::into_inner);
        let committed = match store.as_ref() {
            Some(store) => commit(store, &group, clock()).map_err(|error| Some(told(name, store, failed, &error))),
            None => Err(None),
        };
        counts.commits.fetch_add(1, Ordering::Relaxed);
        counts.requests.fetch_add(group.len() as u64, Ordering::Relaxed);
        counts.events.fetch_add(group.iter().map(|waiting| waiting.parcel.len() as u64).sum(), Ordering::Relaxed);
        // Whoever no longer waits for the answer has gone; the events are in all the same.
        match committed {
            Ok(answers) => {
                for (waiting, answer) in group.into_iter().zip(answers) {
                    let _ = waiting.answer.send(Ok(answer));
                }
            }
            Err(reason) => {
                for waiting in group {
                    let name = name.to_owned();
                    let refused = match reason.clone() {
                        Some(reason) => Refused::Stopped { name, reason },
                        None => Refused::Left { name },
                    };
                    let _ = waiting.answer.send(Err(refused));
                }
            }
        }
    }
}

/// Why a commit failed; said in the log, too.
fn told(name: &str, store: &Store, failed: &Failed, error: &Error) -> String {
    match store.stopped() {
        Some(reason) => failed.tell(name, &reason),
        None => tracing::error!(join = name, %error, "a commit failed"),
    }
    error.to_string()
}

fn gather(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let (mut events, mut bytes) = (first.parcel.len(), first.parcel.bytes.len());
    let mut group = vec![first];
    while events < GROUP_EVENTS && bytes < GROUP_BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        events += next.parcel.len();
        bytes += next.parcel.bytes.len();
        group.push(next);
    }
    group
}

/// One commit for the whole group; an answer a request, with places of its own.
pub(super) fn commit(store: &Store, group: &[Waiting], now: u64) -> Result<Vec<Outcomes>, Error> {
    let mut events: Vec<&[u8]> = Vec::with_capacity(group.iter().map(|waiting| waiting.parcel.events.len()).sum());
    let mut broken: Vec<(&[u8], Rejection)> = Vec::new();
    for Waiting { parcel, .. } in group {
        events.extend(parcel.events.iter().map(|range| &parcel.bytes[range.clone()]));
        broken.extend(parcel.broken.iter().map(|(range, why)| (&parcel.bytes[range.clone()], why.clone())));
    }
    let outcomes = store.ingest(&Batch { events: &events, broken: &broken, now, ..Batch::default() })?;
    if let [_] = group {
        return Ok(vec![outcomes]);
    }
    let (of_events, of_broken) =
        outcomes.split_at(outcomes.partition_point(|(place, _)| (*place as usize) < events.len()));
    let (mut of_events, mut of_broken) = (of_events, of_broken);
    let (mut events_before, mut broken_before) = (0, events.len());
    let mut answers = Vec::with_capacity(group.len());
    for Waiting { parcel, .. } in group {
        let mut answer = Vec::with_capacity(parcel.len());
        take(&mut of_events, events_before, parcel.events.len(), 0, &mut answer);
        take(&mut of_broken, broken_before, parcel.broken.len(), parcel.events.len(), &mut answer);
        events_before += parcel.events.len();
        broken_before += parcel.broken.len();
        answers.push(answer);
    }
    Ok(answers)
}

/// Moves the outcomes of `count` places, which begin at `start`, to begin at `becomes`.
fn take(outcomes: &mut &[(u32, Outcome)], start: usize, count: usize, becomes: usize, answer: &mut Outcomes) {
    let end = outcomes.partition_point(|(place, _)| (*place as usize) < start + count);
    let (mine, rest) = outcomes.split_at(end);
    answer.extend(mine.iter().map(|(place, outcome)| ((*place as usize - start + becomes) as u32, *outcome)));
    *outcomes = rest;
}

impl Parcel {
    /// Events and broken pieces.
    pub(crate) fn len(&self) -> usize {
        self.events.len() + self.broken.len()
    }
}
