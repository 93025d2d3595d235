//! Snapshot and trim of keys, many in one commit.

use millpond_core::process::snapshot::Snapshotted;
use millpond_core::snapshot::{Closing, SnapshotDecision, decide};

use super::Store;
use super::commit::Commit;
use super::read::{Whole, whole_view};
use crate::cache::SlotIndex;
use crate::error::Error;
use crate::memory::Memory;
use crate::record::{Closed, Record};

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

/// What became of a key.
#[derive(Clone, Default)]
struct Done {
    snapshotted: Snapshotted,
    trimmed: u64,
}

/// A decision about a key's snapshot, made while others went on.
struct Decided {
    /// The commit that had changed the key last.
    commit: u64,
    /// What the snapshot builds upon.
    closed: Option<Closed>,
    /// Events of the view, and rows of its tail.
    events: u64,
    tail: u64,
    /// When the oldest row that stays open was put.
    oldest_put: u64,
    decision: SnapshotDecision,
}

/// Rows of a key that came after a decision about it.
struct Since {
    rows: u64,
    oldest_put: u64,
}

impl Decided {
    /// What came since; `None` if it does not stand any more.
    fn since(&self, memory: &Memory, slot: SlotIndex) -> Option<Since> {
        let known = memory.cache.slot(slot);
        let mut since = Since { rows: 0, oldest_put: u64::MAX };
        if known.record.commit == self.commit {
            return Some(since);
        }
        if known.record.closed != self.closed || memory.erasures.erased_since(self.commit, &known.key) {
            return None;
        }
        let through = match &self.decision {
            SnapshotDecision::Close { snapshot, .. } => (snapshot.through.timestamp, snapshot.through.id.as_bytes()),
            _ => return Some(since),
        };
        // Every row above the boundary leaves the snapshot as it is.
        let mut newest = memory.refs_in_memory(slot);
        while since.rows < known.record.events.checked_sub(self.events)? {
            let row = newest.next().filter(|row| row.place() > through)?;
            since.rows += 1;
            since.oldest_put = since.oldest_put.min(row.put_at);
        }
        Some(since)
    }
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
        let keys: Vec<&str> = due.iter().map(|key| &**key).collect();
        let closed = match self.close_all(&keys, now, trim) {
            // One that cannot be read must not keep the others from their turn.
            Err(_) if self.stopped().is_none() => {
                let one_by_one: Vec<_> = keys.iter().map(|key| self.close_all(&[key], now, trim)).collect();
                one_by_one.into_iter().collect::<Result<Vec<_>, _>>()?.concat()
            }
            closed => closed?,
        };
        let made = closed.iter().fold(Maintained::default(), |made, done| Maintained {
            snapshots: made.snapshots + u64::from(done.snapshotted.closed),
            trimmed: made.trimmed + done.trimmed,
        });
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
        let asks = |record: Record| {
            let is_long = record.tail() > self.join.snapshot_every() && record.oldest_put < closable;
            let is_old = record.tail() > 0 && record.oldest_put < closable.saturating_sub(age_ms);
            is_long || is_old
        };
        for item in sight.scan(&self.lsm, &self.lsm.views, start).take(limit) {
            let (key, value) = item?;
            let key = String::from_utf8(key).map_err(|_| Error::Unreadable { what: "a key of a view".into() })?;
            seen += 1;
            // Who verifies is told of one that cannot be read; the others have their turn.
            if self.lsm.decode_record(&key, &value).is_ok_and(asks) {
                due.push(key.as_str().into());
            }
            last = Some(key);
        }
        self.memory()?.due.append(&mut due);
        Ok(last.filter(|_| seen == limit))
    }

    /// Closes what can be closed of each key; one answer a key.
    ///
    /// # Errors
    /// If the store failed; then some of the keys may have been changed, each as a whole.
    pub fn snapshot(&self, keys: &[&str], now: u64) -> Result<Vec<Snapshotted>, Error> {
        Ok(self.close_all(keys, now, false)?.into_iter().map(|done| done.snapshotted).collect())
    }

    /// Closes what can be closed of each key, beside the writers if they let it.
    fn close_all(&self, keys: &[&str], now: u64, trim: bool) -> Result<Vec<Done>, Error> {
        /// Tries beside the writers, before a key is closed while they wait.
        const TRIES: usize = 3;
        let mut closed: Vec<Done> = keys.iter().map(|_| Done::default()).collect();
        let mut left: Vec<usize> = (0..keys.len()).collect();
        for _ in 0..TRIES {
            let tried: Vec<&str> = left.iter().map(|index| keys[*index]).collect();
            let mut again = Vec::new();
            for (index, done) in left.into_iter().zip(self.close_keys(&tried, now, trim)?) {
                match done {
                    Some(done) => closed[index] = done,
                    None => again.push(index),
                }
            }
            left = again;
            if left.is_empty() {
                return Ok(closed);
            }
        }
        self.commit(|commit| {
            for index in left {
                let Some(slot) = commit.memory.known_slot(commit.lsm, keys[index])? else { continue };
                let decided = self.decide_in(commit, slot, now)?;
                if let Some(done) = self.carry_out(commit, slot, decided, now, trim)? {
                    closed[index] = done;
                }
            }
            Ok(closed)
        })
    }

    /// Closes what can be closed of each key. It is read and folded before the commit, so that
    /// others are held up only for as long as it takes to write the results; `None` if something
    /// came meanwhile that changes one.
    fn close_keys(&self, keys: &[&str], now: u64, trim: bool) -> Result<Vec<Option<Done>>, Error> {
        let mut decided = Vec::with_capacity(keys.len());
        for key in keys {
            decided.push(self.whole(key)?.map(|whole| self.decide(key, whole, now)).transpose()?);
        }
        self.commit(|commit| {
            let mut done = Vec::with_capacity(keys.len());
            for (key, decided) in keys.iter().zip(decided) {
                let slot = commit.memory.known_slot(commit.lsm, key)?;
                let (Some(decided), Some(slot)) = (decided, slot) else {
                    done.push(Some(Done::default()));
                    continue;
                };
                done.push(self.carry_out(commit, slot, decided, now, trim)?);
            }
            Ok(done)
        })
    }

    /// Decides inside a commit, where nothing can come in between.
    fn decide_in(&self, commit: &mut Commit<'_>, slot: SlotIndex, now: u64) -> Result<Decided, Error> {
        let view = whole_view(self, commit.memory, slot)?;
        let recent = commit.memory.rows_in_memory(slot)?;
        let known = commit.memory.cache.slot(slot);
        let tail = self.merged(&self.lsm.sight(), &known.key, view.through(), recent, usize::MAX)?;
        let whole = Whole { commit: known.record.commit, closed: known.record.closed.clone(), view, tail };
        self.decide(&known.key, whole, now)
    }

    fn decide(&self, key: &str, whole: Whole, now: u64) -> Result<Decided, Error> {
        let Whole { commit, closed, view, tail } = whole;
        let decision = decide(&self.join, &view, &tail, now, Closing::Settled).map_err(|source| Error::Row {
            key: key.into(),
            position: view.folded_to.clone(),
            source,
        })?;
        let open = match &decision {
            SnapshotDecision::Close { tail_events, .. } => &tail[tail.len() - *tail_events as usize..],
            _ => &tail,
        };
        let oldest_put = open.iter().map(|row| row.put_at).min().unwrap_or(u64::MAX);
        Ok(Decided { commit, closed, events: view.events, tail: tail.len() as u64, oldest_put, decision })
    }

    /// Carries a decision out, and trims what it covers; `None` if it does not stand any more.
    fn carry_out(
        &self,
        commit: &mut Commit<'_>,
        slot: SlotIndex,
        decided: Decided,
        now: u64,
        trim: bool,
    ) -> Result<Option<Done>, Error> {
        let Some(since) = decided.since(commit.memory, slot) else { return Ok(None) };
        let snapshotted = self.close_slot(commit, slot, decided, since, now)?;
        let trimmed = if trim { self.trim_slot(commit, slot)? } else { 0 };
        Ok(Some(Done { snapshotted, trimmed }))
    }

    fn close_slot(
        &self,
        commit: &mut Commit<'_>,
        slot: SlotIndex,
        decided: Decided,
        since: Since,
        now: u64,
    ) -> Result<Snapshotted, Error> {
        let Decided { closed, tail, oldest_put, decision, .. } = decided;
        let SnapshotDecision::Close { snapshot, folded, tail_events } = decision else {
            let events = closed.map_or(0, |closed| closed.events);
            return Ok(Snapshotted { closed: false, trim_due: false, events, tail_events: tail });
        };
        commit.put_snapshot(slot, &snapshot);
        let mut record = commit.memory.cache.slot(slot).record.clone();
        if since.rows == 0 {
            if record.state != folded.state || record.events != folded.events {
                commit.memory.counters.divergence += 1;
            }
            record.state = folded.state;
            record.events = folded.events;
        }
        let tail_events = tail_events + since.rows;
        record.closed = Some(Closed { through: snapshot.through, events: snapshot.events, closed_at: now });
        record.oldest_put = oldest_put.min(since.oldest_put);
        record.snapshot_at = self.join.snapshot_every().max(tail_events.saturating_mul(2));
        commit.put_record(slot, record);
        commit.memory.counters.snapshots += 1;
        Ok(Snapshotted { closed: true, trim_due: true, events: snapshot.events, tail_events })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, DataFolder, Options};
    use millpond_core::Join;

    const START: u64 = 1_760_000_000_000;
    const LATER: u64 = START + 10_000;
    const JOIN: &str = r#"
        name = "j"
        lateness = "1s"
        [key]
        e = "k"
        [view]
        n = { count = "e" }
    "#;

    fn ingest(store: &Store, id: &str, at: u64, now: u64) {
        let event = format!(r#"{{"id":"{id}","type":"e","timestamp":{at},"k":"key"}}"#);
        store.ingest(&Batch { events: &[event.as_bytes()], now, ..Batch::default() }).unwrap();
    }

    /// What is decided about six events at START to START + 5; then `between`; how many rows came
    /// since, if the decision stands. Carried out, it must leave all as right as it was.
    fn decided_then(between: impl FnOnce(&Store)) -> Option<u64> {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        let store = Store::open_or_create(&folder, Join::parse(JOIN).unwrap(), Options::default()).unwrap().0;
        (0..6).for_each(|n| ingest(&store, &format!("{n}"), START + n, START));
        let decided = store.decide("key", store.whole("key").unwrap().unwrap(), LATER).unwrap();
        between(&store);
        let before = store.document("key").unwrap();
        let rows = store.commit(|commit| {
            let slot = commit.memory.known_slot(commit.lsm, "key")?.unwrap();
            let Some(Done { snapshotted, trimmed }) = store.carry_out(commit, slot, decided, LATER, true)? else {
                return Ok(None);
            };
            assert_eq!((snapshotted.closed, snapshotted.events, trimmed), (true, 6, 6));
            Ok(Some(snapshotted.tail_events))
        });
        assert_eq!(store.document("key").unwrap(), before);
        assert_eq!(store.verify(|found| panic!("{found:?}"), |_| {}).unwrap().differences, 0);
        assert_eq!(store.counters().divergence, 0);
        rows.unwrap()
    }

    #[test]
    fn a_decision_stands_beside_events_above_its_boundary_alone() {
        assert_eq!(decided_then(|_| {}), Some(0));
        assert_eq!(decided_then(|store| (0..3).for_each(|n| ingest(store, &format!("{n}"), LATER, LATER))), Some(3));
        assert_eq!(decided_then(|store| ingest(store, "below", START + 4, LATER)), None);
        assert_eq!(decided_then(|store| drop(store.snapshot(&["key"], LATER).unwrap())), None);
        let gone = |store: &Store| {
            store.erase("key", LATER).unwrap().unwrap();
            (0..9).for_each(|n| ingest(store, &format!("{n}"), LATER + n, LATER));
        };
        assert_eq!(decided_then(gone), None, "what was erased must not come back in a snapshot");
        let flushed = |store: &Store| {
            ingest(store, "flushed", LATER, LATER);
            store.flush().unwrap();
        };
        assert_eq!(decided_then(flushed), None, "it is not known what came");
    }

    #[test]
    fn a_snapshot_that_is_asked_for_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        let store = Store::open_or_create(&folder, Join::parse(JOIN).unwrap(), Options::default()).unwrap().0;
        ingest(&store, "1", START, START);
        let made = store.snapshot(&["none", "key"], LATER).unwrap();
        assert_eq!(made.iter().map(|made| (made.closed, made.events)).collect::<Vec<_>>(), [(false, 0), (true, 1)]);
    }
}
