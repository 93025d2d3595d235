//! Ingest: the consumer's and the trigger's decisions for a whole batch, in one commit.

use millpond_core::fold::contribution;
use millpond_core::process::consumer::{self, Read, conflict, is_late, same_body};
use millpond_core::store::{LateEvent, Quarantined, Row};
use millpond_core::{At, Event, Reason, Rejection, TypeIndex};

use super::Store;
use super::commit::Commit;
use super::late::{LateValue, late_key};
use super::quarantine::keep;
use crate::cache::SlotIndex;
use crate::error::Error;
use crate::op::Table;

/// The most bytes of a batch: stored at each of an event's up to 8 keys, they fit one frame of the log.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Events to be joined in one commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// The events, as they were received.
    pub events: &'a [&'a [u8]],
    /// Pieces of an input that cannot be events, and why: they go into quarantine.
    pub broken: &'a [(&'a [u8], Rejection)],
    /// The clock, in milliseconds since 1970 UTC.
    pub now: u64,
    /// Whether these events are known to have been received before, from the same input: then one
    /// that is closed is a duplicate, and not late.
    pub received_before: bool,
    /// What to remember with this commit.
    pub mark: Option<Mark<'a>>,
}

/// A value kept with a commit: how far an input has been read.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// Names the input.
    pub name: &'a str,
    /// What the caller wants to know of it again.
    pub value: &'a [u8],
}

/// What became of an event for one of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored and folded.
    Accepted,
    /// Known already.
    Duplicate,
    /// Kept in the late queue.
    Late,
    /// Kept in quarantine.
    Quarantined(Reason),
    /// Of a type that the join does not know.
    Ignored,
}

impl Store {
    /// Joins a batch of events durably; one outcome an event and key it joins, with the event's
    /// place in the batch; broken pieces are counted on behind the events.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`BATCH_BYTES_MAX`]. If the store failed, nothing was acknowledged,
    /// and after reopening the batch can be given again.
    pub fn ingest(&self, batch: &Batch<'_>) -> Result<Vec<(u32, Outcome)>, Error> {
        let bytes: usize =
            batch.events.iter().chain(batch.broken.iter().map(|(bytes, _)| bytes)).map(|b| b.len()).sum();
        if bytes > BATCH_BYTES_MAX {
            return Err(Error::TooLarge { bytes, max: BATCH_BYTES_MAX });
        }
        self.commit(|commit| {
            let batch = &Batch { now: commit.clock(batch.now), ..*batch };
            let mut outcomes = Vec::with_capacity(batch.events.len());
            for (index, bytes) in batch.events.iter().enumerate() {
                ingest_event(commit, batch, bytes, |outcome| outcomes.push((index as u32, outcome)))?;
            }
            for (index, (bytes, rejection)) in batch.broken.iter().enumerate() {
                let outcome = quarantine(commit, bytes, rejection.clone(), batch.now)?;
                count(commit, outcome);
                outcomes.push(((batch.events.len() + index) as u32, outcome));
            }
            if let Some(mark) = batch.mark {
                commit.put(Table::Meta, mark_key(mark.name).as_bytes(), Some(mark.value));
            }
            Ok(outcomes)
        })
    }

    /// A mark that was kept with a durable commit.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.settled()?.get(&self.lsm, Table::Meta, mark_key(name).as_bytes())
    }
}

fn mark_key(name: &str) -> String {
    format!("mark/{name}")
}

pub(super) fn ingest_event(
    commit: &mut Commit<'_>,
    batch: &Batch<'_>,
    bytes: &[u8],
    mut tell: impl FnMut(Outcome),
) -> Result<(), Error> {
    let (event, kind, keys) = match consumer::read(commit.join, bytes, batch.now) {
        Ok(Read::Joins(event, kind, keys)) => (event, kind, keys),
        Ok(Read::Ignored(event)) => {
            commit.memory.counters.count_ignored(&event.kind);
            tell(Outcome::Ignored);
            return Ok(());
        }
        Err(rejection) => {
            let outcome = quarantine(commit, bytes, rejection, batch.now)?;
            count(commit, outcome);
            tell(outcome);
            return Ok(());
        }
    };
    for key in &keys {
        if commit.was_erased(key, batch.now) {
            continue;
        }
        let outcome = place(commit, batch, &event, kind, key)?;
        if outcome == Outcome::Duplicate {
            commit.memory.duplicates.add(key, event.position(), batch.now);
        }
        count(commit, outcome);
        tell(outcome);
    }
    Ok(())
}

/// Decides about one event and key, and carries it out.
fn place(
    commit: &mut Commit<'_>,
    batch: &Batch<'_>,
    event: &Event<'_>,
    kind: TypeIndex,
    key: &str,
) -> Result<Outcome, Error> {
    let at = event.position();
    let slot = commit.slot_of(key)?;
    let record = &commit.memory.cache.slot(slot).record;
    if is_late(record.through(), at) {
        commit.memory.activity.looked_up += 1;
        return late(commit, batch, event, slot);
    }
    // Above everything folded it is new by construction; only disorder and repeats look it up.
    if record.events > 0 && at <= record.folded_to.at() {
        commit.memory.activity.looked_up += 1;
        if let Some(present) = commit.memory.row(commit.lsm, slot, at)? {
            return known(commit, event.text, at, &present.body, batch.now);
        }
    } else {
        commit.memory.activity.fast += 1;
    }
    accept(commit, slot, event, kind, batch.now);
    Ok(Outcome::Accepted)
}

/// Stores the row and folds it: O(1) whatever its position, since every fold is order-free.
pub(super) fn accept(commit: &mut Commit<'_>, slot: SlotIndex, event: &Event<'_>, kind: TypeIndex, put_at: u64) {
    let at = event.position();
    let newest_at = &mut commit.memory.activity.newest_at;
    *newest_at = (*newest_at).max(Some(at.timestamp));
    let (gives, gaps) = contribution(commit.join, kind, event);
    if !gaps.is_empty() {
        commit.memory.counters.count_gaps(commit.join, &gaps);
    }
    commit.put_row(slot, at, put_at, event.text);
    let number = commit.number;
    let known = commit.memory.cache.slot_mut(slot);
    commit.memory.counters.keys += u64::from(known.record.events == 0);
    known.record.state.take(commit.join, gives);
    known.record.count(at, put_at, number);
    if known.record.snapshot_due(commit.join, put_at) {
        // Asked for once a length of tail; the snapshot sets the next.
        known.record.snapshot_at = known.record.tail().saturating_mul(2);
        let key = known.key.clone();
        commit.memory.due.push(key);
    }
}

/// An event at or below the closed boundary: its row, if it is still there, tells a repeat.
fn late(commit: &mut Commit<'_>, batch: &Batch<'_>, event: &Event<'_>, slot: SlotIndex) -> Result<Outcome, Error> {
    let at = event.position();
    if let Some(present) = commit.memory.row(commit.lsm, slot, at)? {
        return known(commit, event.text, at, &present.body, batch.now);
    }
    let known_slot = commit.memory.cache.slot(slot);
    let place = late_key(&known_slot.key, at);
    let Some(closed) = known_slot.record.through().cloned() else { return Ok(Outcome::Duplicate) };
    let key = known_slot.key.clone();
    match commit.get(Table::Late, &place)?.map(|value| LateValue::decode(&value)).transpose()? {
        Some(LateValue::Waiting(waiting)) => known(commit, event.text, at, &waiting.row.body, batch.now),
        Some(LateValue::Accepted { .. }) => Ok(Outcome::Duplicate),
        None if batch.received_before => Ok(Outcome::Duplicate),
        None => {
            let row = Row { position: at.to_position(), put_at: batch.now, body: event.text.into() };
            let value = LateValue::Waiting(LateEvent { key, row, closed }).encode();
            commit.put(Table::Late, &place, Some(&value));
            Ok(Outcome::Late)
        }
    }
}

/// An event whose place is taken: a repeat, or another event with the same identity.
fn known(commit: &mut Commit<'_>, text: &str, at: At<'_>, present: &str, now: u64) -> Result<Outcome, Error> {
    if same_body(text, present) {
        return Ok(Outcome::Duplicate);
    }
    quarantine(commit, text.as_bytes(), conflict(at), now)
}

pub(super) fn quarantine(
    commit: &mut Commit<'_>,
    bytes: &[u8],
    rejection: Rejection,
    now: u64,
) -> Result<Outcome, Error> {
    let reason = rejection.reason;
    keep(commit, &Quarantined { rejection, at: now, bytes: bytes.to_vec() })?;
    Ok(Outcome::Quarantined(reason))
}

fn count(commit: &mut Commit<'_>, outcome: Outcome) {
    let counters = &mut commit.memory.counters;
    counters.received += 1;
    match outcome {
        Outcome::Accepted => counters.accepted += 1,
        Outcome::Duplicate => counters.duplicate += 1,
        Outcome::Late => counters.late += 1,
        Outcome::Ignored => counters.ignored += 1,
        Outcome::Quarantined(reason) => {
            counters.quarantined += 1;
            counters.conflicts += u64::from(reason == Reason::Conflict);
        }
    }
}
