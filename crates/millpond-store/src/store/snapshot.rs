//! Snapshot and trim of keys, many in one commit.

use millpond_core::process::snapshot::Snapshotted;
use millpond_core::snapshot::{Closing, SnapshotDecision, decide};

use super::Store;
use super::commit::Commit;
use super::read::whole_view;
use crate::error::Error;
use crate::op::Table;
use crate::record::Closed;

/// Keys that one commit snapshots: bounds how long others wait for the lock.
const KEYS_A_COMMIT: usize = 64;

/// What one round of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Keys with a new snapshot.
    pub snapshots: u64,
    /// Rows trimmed.
    pub trimmed: u64,
}

impl Store {
    /// Makes the snapshots that long tails ask for, and trims what they cover.
    ///
    /// # Errors
    /// If the store failed.
    pub fn maintain(&self, now: u64) -> Result<Maintained, Error> {
        let due = std::mem::take(&mut self.memory()?.due);
        let mut done = Maintained::default();
        for keys in due.chunks(KEYS_A_COMMIT) {
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            let made = self.snapshot(&keys, now)?;
            done.snapshots += made.iter().filter(|made| made.closed).count() as u64;
            done.trimmed += self.trim(&keys)?.iter().sum::<u64>();
        }
        Ok(done)
    }

    /// Closes what can be closed of each key; one answer a key.
    ///
    /// # Errors
    /// If the store failed; then no key was changed.
    pub fn snapshot(&self, keys: &[&str], now: u64) -> Result<Vec<Snapshotted>, Error> {
        self.commit(|commit| keys.iter().map(|key| self.snapshot_key(commit, key, now)).collect())
    }

    fn snapshot_key(&self, commit: &mut Commit<'_>, key: &str, now: u64) -> Result<Snapshotted, Error> {
        let Some(slot) = commit.memory.known_slot(commit.lsm, key)? else { return Ok(Snapshotted::default()) };
        let view = whole_view(self, commit.memory, slot)?;
        let recent = commit.memory.rows_in_memory(slot)?;
        let tail = self.merged(&self.lsm.sight(), key, view.through(), recent)?;
        let decision = decide(&self.join, &view, &tail, now, Closing::Settled).map_err(|source| Error::Row {
            key: key.into(),
            position: view.folded_to.clone(),
            source,
        })?;
        let SnapshotDecision::Close { snapshot, folded, tail_events } = decision else {
            let events = view.snapshot.map_or(0, |snapshot| snapshot.events);
            return Ok(Snapshotted { closed: false, events, tail_events: tail.len() as u64 });
        };
        let bytes = postcard::to_stdvec(&*snapshot).expect("a snapshot always has bytes: it is plain data");
        commit.put(Table::Snapshots, key.as_bytes(), Some(&bytes));
        let mut record = commit.memory.cache.slot(slot).record.clone();
        if record.state != folded.state || record.events != folded.events {
            commit.memory.counters.divergence += 1;
        }
        record.state = folded.state;
        record.events = folded.events;
        record.closed = Some(Closed { through: snapshot.through, events: snapshot.events, closed_at: now });
        let open = &tail[tail.len() - tail_events as usize..];
        record.oldest_put = open.iter().map(|row| row.put_at).min().unwrap_or(u64::MAX);
        record.snapshot_at = self.join.snapshot_every().max(tail_events.saturating_mul(2));
        commit.put_record(slot, record);
        commit.memory.counters.snapshots += 1;
        Ok(Snapshotted { closed: true, events: snapshot.events, tail_events })
    }

    /// Hides the rows that the snapshot of each key covers, and has the next flush delete them;
    /// the number of rows a key.
    ///
    /// # Errors
    /// If the store failed; then no key was changed.
    pub fn trim(&self, keys: &[&str]) -> Result<Vec<u64>, Error> {
        self.commit(|commit| keys.iter().map(|key| self.trim_key(commit, key)).collect())
    }

    fn trim_key(&self, commit: &mut Commit<'_>, key: &str) -> Result<u64, Error> {
        let Some(slot) = commit.memory.known_slot(commit.lsm, key)? else { return Ok(0) };
        let mut record = commit.memory.cache.slot(slot).record.clone();
        let Some(closed) = record.closed.clone() else { return Ok(0) };
        if record.trimmed_to.as_ref() == Some(&closed.through) {
            return Ok(0);
        }
        let covered = closed.events - record.trimmed;
        record.trimmed_to = Some(closed.through);
        record.trimmed = closed.events;
        commit.put_record(slot, record);
        commit.memory.cache.slot_mut(slot).trim = true;
        commit.memory.counters.trimmed += covered;
        Ok(covered)
    }
}
