//! Snapshot and trim of keys, many in one commit.

use millpond_core::process::snapshot::Snapshotted;
use millpond_core::snapshot::{Closing, SnapshotDecision, decide};
use millpond_core::store::Row;

use super::Store;
use super::commit::Commit;
use super::read::{Whole, whole_view};
use crate::cache::SlotIndex;
use crate::error::Error;
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

/// What one step of upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Keys that were looked at; with none there was nothing to do.
    pub keys: usize,
    /// What became of them.
    pub made: Maintained,
}

/// A decision about a key's snapshot, and what it was made of.
struct Decided {
    /// The commit that had changed the key last.
    commit: u64,
    tail: Vec<Row>,
    snapshot_events: u64,
    decision: SnapshotDecision,
}

impl Store {
    /// Makes the snapshots that long tails ask for, and trims what they cover.
    ///
    /// # Errors
    /// If the store failed.
    pub fn maintain(&self, now: u64) -> Result<Maintained, Error> {
        let mut done = Maintained::default();
        loop {
            let step = self.upkeep(now, KEYS_A_COMMIT, true)?;
            if step.keys == 0 {
                return Ok(done);
            }
            done.snapshots += step.made.snapshots;
            done.trimmed += step.made.trimmed;
        }
    }

    /// A step of [`Store::maintain`]: up to so many keys that ask for a snapshot. What they are
    /// folded from is read before the commit, so that it holds others up only for as long as it
    /// takes to write the result.
    ///
    /// # Errors
    /// If the store failed; the keys ask again when they have grown, or by [`Store::ask_for_old`].
    pub fn upkeep(&self, now: u64, keys_max: usize, trim: bool) -> Result<Step, Error> {
        let due: Vec<Box<str>> = {
            let mut memory = self.memory()?;
            let count = memory.due.len().min(keys_max);
            memory.due.drain(..count).collect()
        };
        if due.is_empty() {
            return Ok(Step::default());
        }
        let mut decided = Vec::with_capacity(due.len());
        for key in &due {
            let Some(whole) = self.whole(key)? else { continue };
            decided.push((key, self.decide(key, whole, now)?));
        }
        let made = self.commit(|commit| {
            let mut made = Maintained::default();
            for (key, decided) in decided {
                let Some(slot) = commit.memory.known_slot(commit.lsm, key)? else { continue };
                // An event came meanwhile: decide again, now that none can.
                let fresh = commit.memory.cache.slot(slot).record.commit == decided.commit;
                let decided = if fresh { decided } else { self.decide_in(commit, slot, now)? };
                let snapshotted = self.carry_out(commit, slot, decided, now)?;
                made.snapshots += u64::from(snapshotted.closed);
                if trim {
                    made.trimmed += self.trim_slot(commit, slot)?;
                }
            }
            Ok(made)
        })?;
        Ok(Step { keys: due.len(), made })
    }

    /// Looks at up to `limit` flushed views after `after`, and has those ask for a snapshot whose
    /// tail is long, or could have been closed `age_ms` ago. Where to go on; `None` at the end.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn ask_for_old(
        &self,
        now: u64,
        age_ms: u64,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<String>, Error> {
        let closable = now.saturating_sub(self.join.lateness_ms());
        let sight = self.lsm.sight();
        let start = after.map_or_else(Vec::new, |after| [after.as_bytes(), &[0]].concat());
        let (mut due, mut last, mut seen) = (Vec::new(), None, 0);
        for item in sight.scan(&self.lsm, &self.lsm.views, start).take(limit) {
            let (key, value) = item?;
            let key = String::from_utf8(key).map_err(|_| Error::Unreadable { what: "a key of a view".into() })?;
            let record = self.lsm.decode_record(&key, &value)?;
            let is_long = record.tail() > self.join.snapshot_every() && record.oldest_put < closable;
            let is_old = record.tail() > 0 && record.oldest_put < closable.saturating_sub(age_ms);
            if is_long || is_old {
                due.push(key.as_str().into());
            }
            seen += 1;
            last = Some(key);
        }
        self.memory()?.due.append(&mut due);
        Ok(last.filter(|_| seen == limit))
    }

    /// Closes what can be closed of each key; one answer a key.
    ///
    /// # Errors
    /// If the store failed; then no key was changed.
    pub fn snapshot(&self, keys: &[&str], now: u64) -> Result<Vec<Snapshotted>, Error> {
        self.commit(|commit| {
            let mut made = Vec::with_capacity(keys.len());
            for key in keys {
                made.push(match commit.memory.known_slot(commit.lsm, key)? {
                    None => Snapshotted::default(),
                    Some(slot) => {
                        let decided = self.decide_in(commit, slot, now)?;
                        self.carry_out(commit, slot, decided, now)?
                    }
                });
            }
            Ok(made)
        })
    }

    /// Decides inside a commit, where nothing can come in between.
    fn decide_in(&self, commit: &mut Commit<'_>, slot: SlotIndex, now: u64) -> Result<Decided, Error> {
        let view = whole_view(self, commit.memory, slot)?;
        let recent = commit.memory.rows_in_memory(slot)?;
        let known = commit.memory.cache.slot(slot);
        let tail = self.merged(&self.lsm.sight(), &known.key, view.through(), recent, usize::MAX)?;
        self.decide(&known.key, Whole { commit: known.record.commit, view, tail }, now)
    }

    fn decide(&self, key: &str, whole: Whole, now: u64) -> Result<Decided, Error> {
        let Whole { commit, view, tail } = whole;
        let decision = decide(&self.join, &view, &tail, now, Closing::Settled).map_err(|source| Error::Row {
            key: key.into(),
            position: view.folded_to.clone(),
            source,
        })?;
        let snapshot_events = view.snapshot.as_ref().map_or(0, |snapshot| snapshot.events);
        Ok(Decided { commit, tail, snapshot_events, decision })
    }

    /// Carries a decision out.
    fn carry_out(
        &self,
        commit: &mut Commit<'_>,
        slot: SlotIndex,
        decided: Decided,
        now: u64,
    ) -> Result<Snapshotted, Error> {
        let Decided { tail, snapshot_events, decision, .. } = decided;
        let SnapshotDecision::Close { snapshot, folded, tail_events } = decision else {
            return Ok(Snapshotted { closed: false, events: snapshot_events, tail_events: tail.len() as u64 });
        };
        commit.put_snapshot(slot, &snapshot);
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
        self.commit(|commit| {
            let mut trimmed = Vec::with_capacity(keys.len());
            for key in keys {
                let slot = commit.memory.known_slot(commit.lsm, key)?;
                trimmed.push(slot.map_or(Ok(0), |slot| self.trim_slot(commit, slot))?);
            }
            Ok(trimmed)
        })
    }

    fn trim_slot(&self, commit: &mut Commit<'_>, slot: SlotIndex) -> Result<u64, Error> {
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
