//! A commit: operations decided in memory, then one frame of the log.

use std::sync::atomic::Ordering;

use millpond_core::{At, Join, Snapshot};
use xxhash_rust::xxh3::xxh3_128;

use super::{Store, Writer};
use crate::cache::SlotIndex;
use crate::error::Error;
use crate::log::Log;
use crate::lsm::Lsm;
use crate::memory::{COUNTERS, Memory};
use crate::op::{RowRef, Table, write_put, write_row, write_view};
use crate::record::Record;
use crate::sync::PoisonError;

/// A commit under way. What it changes is seen by nobody until it is durable.
pub(super) struct Commit<'c> {
    pub(super) join: &'c Join,
    pub(super) lsm: &'c Lsm,
    pub(super) memory: &'c mut Memory,
    pub(super) number: u64,
    empty: bool,
}

impl Commit<'_> {
    /// Stores a row whose event has been folded into the slot's record.
    pub(super) fn put_row(&mut self, slot: SlotIndex, at: At<'_>, put_at: u64, body: &str) {
        let Memory { cache, active, .. } = &mut *self.memory;
        let known = cache.slot_mut(slot);
        let offset = active.arena.len();
        write_row(&mut active.arena, RowRef::new(&known.key, at, put_at, body));
        known.heads[0] = active.push(offset, known.heads[0], &known.key, at);
        self.memory.touch(slot);
        self.empty = false;
    }

    /// Stores a record as a whole.
    pub(super) fn put_record(&mut self, slot: SlotIndex, mut record: Record) {
        let Memory { cache, active, .. } = &mut *self.memory;
        let known = cache.slot_mut(slot);
        record.commit = self.number;
        if record.events != known.record.events || record.state != known.record.state {
            record.changed = self.number;
        }
        write_view(&mut active.arena, &known.key, &record);
        known.record = record;
        self.memory.touch(slot);
        self.empty = false;
    }

    /// Stores the snapshot of a slot's key.
    pub(super) fn put_snapshot(&mut self, slot: SlotIndex, snapshot: &Snapshot) {
        let bytes = postcard::to_stdvec(snapshot).expect("a snapshot always has bytes: it is plain data");
        let key = self.memory.cache.slot(slot).key.clone();
        self.put(Table::Snapshots, key.as_bytes(), Some(&bytes));
    }

    /// Stores or removes a value of a small table.
    pub(super) fn put(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        write_put(&mut self.memory.active.arena, table, key, value);
        self.memory.active.put(table, key, value);
        self.empty = false;
    }

    /// Writes this commit even if it only counts.
    pub(super) fn keep_counts(&mut self) {
        self.empty = false;
    }

    /// The time of this commit: what comes after an erasure is never put before or with it.
    pub(super) fn clock(&self, now: u64) -> u64 {
        match self.memory.erased_at {
            0 => now,
            erased_at => now.max(erased_at + 1),
        }
    }

    /// Whether a rebuild must not join an event of that time to the key again.
    pub(super) fn was_erased(&self, key: &str, put_at: u64) -> bool {
        let erased = &self.memory.erased;
        !erased.is_empty() && erased.get(&xxh3_128(key.as_bytes())).is_some_and(|at| put_at <= *at)
    }

    pub(super) fn slot_of(&mut self, key: &str) -> Result<SlotIndex, Error> {
        self.memory.slot_of(self.join, self.lsm, key)
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(self.lsm, table, key)
    }
}

impl Store {
    /// Runs one commit: `build` decides and changes memory, then all of it is made durable.
    ///
    /// A commit that only counts is not written: its counts go with the next one, or at the end.
    pub(super) fn commit<R>(&self, build: impl FnOnce(&mut Commit<'_>) -> Result<R, Error>) -> Result<R, Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { log, frame: bytes } = &mut *writer;
        let mut memory = self.memory()?;
        let number = log.next_commit();
        let start = memory.active.arena.len();
        let frame = Log::begin_frame(&mut memory.active.arena);
        memory.begin_counting();
        let mut commit = Commit { join: &self.join, lsm: &self.lsm, memory: &mut memory, number, empty: true };
        let built = build(&mut commit);
        let empty = commit.empty;
        let built = match built {
            Ok(built) => built,
            // Nothing is changed before a decision stands, unless something was put.
            Err(error) if empty => {
                memory.active.arena.truncate(start);
                memory.undo_counts();
                return Err(error);
            }
            Err(error) => {
                // While the lock is held: nobody must see what is half done.
                memory.stopped.get_or_insert_with(|| format!("a commit broke off: {error}"));
                self.shared.changed.notify_all();
                return Err(error);
            }
        };
        if empty {
            memory.active.arena.truncate(start);
            memory.uncounted = true;
            memory.keep_counts();
            return Ok(built);
        }
        memory.uncounted = false;
        let counters = postcard::to_stdvec(&memory.counters).expect("counters always have bytes: they are plain data");
        write_put(&mut memory.active.arena, Table::Meta, COUNTERS, Some(&counters));
        memory.active.put(Table::Meta, COUNTERS, Some(&counters));
        let sealed = Log::seal_frame(&mut memory.active.arena, frame, number);
        bytes.clear();
        bytes.extend_from_slice(&memory.active.arena[start..]);
        memory.active.last_commit = number;
        drop(memory);
        if let Err(error) = sealed.and_then(|_| log.append(bytes)) {
            self.shared.stop(error.to_string());
            return Err(error);
        }
        self.acknowledge(log, number)?;
        Ok(built)
    }

    fn acknowledge(&self, log: &mut Log, number: u64) -> Result<(), Error> {
        let mut memory = self.memory()?;
        memory.durable = number;
        memory.keep_counts();
        self.shared.log_bytes.store(log.bytes(), Ordering::Relaxed);
        self.shared.tell(number);
        // Changed records cannot be evicted: large ones would fill the cache long before their rows
        // fill the memtable. Half of it, since as much may be under way to the tables.
        let rows_fit = memory.active.bytes() <= self.options.memtable_bytes;
        if rows_fit && memory.dirty_bytes <= self.options.cache_bytes.max(self.options.memtable_bytes) / 2 {
            return Ok(());
        }
        drop(memory);
        let memory = self.thawed()?;
        self.freeze(log, memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, DataFolder, Options};

    /// While the disk works on a commit, whoever asks for counts is told those before it, at once.
    #[test]
    fn what_is_not_durable_is_not_counted_yet_and_waited_for_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        let join = Join::parse("name = \"j\"\n[key]\ne = \"k\"\n[view]\nn = { count = \"e\" }\n").unwrap();
        let store = Store::open_or_create(&folder, join, Options::default()).unwrap().0;
        let event = br#"{"id":"1","type":"e","timestamp":1,"k":"k"}"#;
        store.ingest(&Batch { events: &[event], now: 1, ..Batch::default() }).unwrap();
        let counted = || (store.counters().received, store.activity().fast);
        assert_eq!(counted(), (1, 1));
        let writer = store.writer.lock().unwrap();
        let bytes = writer.log.bytes();
        let mut memory = store.memory().unwrap();
        memory.begin_counting();
        memory.active.last_commit += 1;
        memory.counters.received += 1;
        memory.activity.fast += 1;
        drop(memory);
        assert_eq!(counted(), (1, 1));
        assert!(store.disk_bytes() >= bytes);
        let mut memory = store.memory().unwrap();
        memory.durable += 1;
        memory.keep_counts();
        drop(memory);
        assert_eq!(counted(), (2, 2));
    }
}
