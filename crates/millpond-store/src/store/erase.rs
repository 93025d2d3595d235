//! Erasure: everything that is stored of a key goes, down to the bytes on disk.
//!
//! The log is flushed first, so that only the tables hold the key. Then one commit says what is
//! about to happen, the tables delete, the log is emptied, and the tables are written anew. A crash
//! in between is made up for at the next opening.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use memchr::memmem;
use millpond_core::process::consumer::{self, Read};
use xxhash_rust::xxh3::xxh3_128;

use super::Store;
use super::quarantine::id_of;
use crate::error::Error;
use crate::keys::row_prefix;
use crate::log::Log;
use crate::lsm::Sight;
use crate::memory::{COUNTERS, FLUSHED, Memory};
use crate::op::{Table, write_erase};

/// How long a compaction waits for those who still read the old tables.
const READERS_PATIENCE: Duration = Duration::from_secs(30);
/// Other keys that a report names at most.
const ALSO_AT_MAX: usize = 100;
/// Prefix of the hashes of erased keys in [`Table::Meta`].
pub(super) const ERASED: &[u8] = b"erased/";
/// Key of the last erasure's or rebuild's commit in [`Table::Meta`].
pub(crate) const CHANGES_FLOOR: &[u8] = b"changes-floor";

/// What was removed of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Whether there was a view.
    pub view: bool,
    /// Whether there was a snapshot.
    pub snapshot: bool,
    /// Stored events removed.
    pub events: u64,
    /// Entries of the late queue removed.
    pub late: u64,
    /// Entries of the quarantine removed: those that would join this key.
    pub quarantined: u64,
    /// Entries of the quarantine that mention the key, but may be about another: their ids.
    pub quarantine_mentions: Vec<String>,
    /// Other keys that removed events had joined too, where they remain; the first hundred.
    pub also_at: Vec<String>,
    /// Whether the bytes are gone from the disk; if not, somebody was still reading the old tables,
    /// and they go with a later compaction.
    pub compacted: bool,
}

/// What lies in the tables of a key.
#[derive(Default)]
struct Found {
    rows: Vec<Vec<u8>>,
    late: Vec<Vec<u8>>,
    quarantine: Vec<Vec<u8>>,
    report: Erasure,
}

impl Found {
    fn is_empty(&self) -> bool {
        !self.report.view && self.rows.is_empty() && self.late.is_empty() && self.quarantine.is_empty()
    }
}

impl Store {
    /// Removes everything of a key: view, snapshot, events, late and quarantined ones. `None` if
    /// there is nothing. What comes of the key later makes a new view.
    ///
    /// It flushes and compacts, which takes as long as writing all tables anew: others are only held
    /// up while it flushes.
    ///
    /// # Errors
    /// If the store failed. If it was begun, the next opening ends it.
    pub fn erase(&self, key: &str, now: u64) -> Result<Option<Erasure>, Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush_log(&mut writer.log)?;
        let found = self.find(key)?;
        if found.is_empty() {
            return Ok(None);
        }
        let log = &mut writer.log;
        let number = log.next_commit();
        let mut frame = Vec::new();
        let start = Log::begin_frame(&mut frame);
        write_erase(&mut frame, key, now);
        Log::seal_frame(&mut frame, start, number)?;
        let erased = log.append(&frame).and_then(|()| self.delete(log, number, key, now, &found));
        erased.inspect_err(|error| self.shared.stop(format!("an erasure broke off: {error}")))?;
        drop(writer);
        self.shared.tell(number);
        let compacted = self.lsm.compact(READERS_PATIENCE)?;
        Ok(Some(Erasure { compacted, ..found.report }))
    }

    /// Ends an erasure that a crash broke off, before anybody else is let in.
    pub(super) fn finish_erasure(&self) -> Result<(), Error> {
        let Some((number, key, at)) = self.memory()?.erasing.take() else { return Ok(()) };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.find(&key)?;
        self.delete(&mut writer.log, number, &key, at, &found)?;
        drop(writer);
        self.lsm.compact(READERS_PATIENCE)?;
        Ok(())
    }

    /// Everything of a key, in the tables alone.
    fn find(&self, key: &str) -> Result<Found, Error> {
        let sight = self.lsm.sight();
        let mut found = Found::default();
        let record = self.lsm.record(key)?;
        found.report.view = record.is_some();
        found.report.snapshot = record.is_some_and(|record| record.closed.is_some());
        let prefix = row_prefix(key);
        let mut also_at = BTreeSet::new();
        for item in sight.scan(&self.lsm, &self.lsm.events, prefix.clone()) {
            let (place, value) = item?;
            if !place.starts_with(&prefix) {
                break;
            }
            let (_, row) = self.lsm.parse_row(&place, &value)?;
            if also_at.len() < ALSO_AT_MAX {
                also_at.extend(self.keys_of(row.body.as_bytes()).into_iter().filter(|other| other != key));
            }
            found.rows.push(place);
        }
        found.report.also_at = also_at.into_iter().take(ALSO_AT_MAX).collect();
        found.report.events = found.rows.len() as u64;
        for item in sight.scan(&self.lsm, self.lsm.side(Table::Late), prefix.clone()) {
            let (place, _) = item?;
            if !place.starts_with(&prefix) {
                break;
            }
            found.late.push(place);
        }
        found.report.late = found.late.len() as u64;
        self.find_quarantined(&sight, key, &mut found)?;
        Ok(found)
    }

    fn find_quarantined(&self, sight: &Sight, key: &str, found: &mut Found) -> Result<(), Error> {
        let mention = memmem::Finder::new(key.as_bytes());
        for item in sight.scan(&self.lsm, self.lsm.side(Table::Quarantine), Vec::new()) {
            let (place, value) = item?;
            let entry = super::quarantine::decode(&value)?;
            if mention.find(&entry.bytes).is_none() {
                continue;
            }
            if self.keys_of(&entry.bytes).iter().any(|of| of == key) {
                found.quarantine.push(place);
                found.report.quarantined += 1;
            } else {
                found.report.quarantine_mentions.push(id_of(&place));
            }
        }
        Ok(())
    }

    /// The keys that an event would join, whatever its timestamp.
    fn keys_of(&self, bytes: &[u8]) -> Vec<String> {
        match consumer::read(&self.join, bytes, u64::MAX) {
            Ok(Read::Joins(_, _, keys)) => keys.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }

    /// Deletes what was found, and empties the log. All of it may be repeated.
    fn delete(&self, log: &mut Log, number: u64, key: &str, now: u64, found: &Found) -> Result<(), Error> {
        let mut memory = self.memory()?;
        memory.counters.keys = memory.counters.keys.saturating_sub(u64::from(found.report.view));
        memory.cache.remove(key);
        memory.due.retain(|due| **due != *key);
        memory.large.remove(key);
        self.delete_from_tables(&memory, number, key, now, found).map_err(|error| self.lsm.failed(error))?;
        memory.active = Default::default();
        memory.active.last_commit = number;
        memory.flushed = number;
        memory.durable = number;
        memory.uncounted = false;
        memory.erasures.push(number, key);
        drop(memory);
        log.rotate()?;
        log.remove_through(number, 0)?;
        Ok(())
    }

    fn delete_from_tables(
        &self,
        memory: &Memory,
        number: u64,
        key: &str,
        now: u64,
        found: &Found,
    ) -> Result<(), fjall::Error> {
        let lsm = &self.lsm;
        delete_all(&lsm.events, found.rows.iter().map(Vec::as_slice))?;
        delete_all(&lsm.views, [key.as_bytes()])?;
        delete_all(lsm.side(Table::Snapshots), [key.as_bytes()])?;
        delete_all(lsm.side(Table::Late), found.late.iter().map(Vec::as_slice))?;
        delete_all(lsm.side(Table::Quarantine), found.quarantine.iter().map(Vec::as_slice))?;
        let bytes = |number: &u64| postcard::to_stdvec(number).expect("a number always has bytes");
        let counters = postcard::to_stdvec(&memory.counters).expect("counters always have bytes: they are plain data");
        let hash = [ERASED, &xxh3_128(key.as_bytes()).to_be_bytes()].concat();
        // In the order of keys; it is one ingestion, so the mark of the flush stands with the rest.
        let mut values =
            [(CHANGES_FLOOR, bytes(&number)), (COUNTERS, counters), (&hash, bytes(&now)), (FLUSHED, bytes(&number))];
        values.sort();
        let mut meta = lsm.side(Table::Meta).start_ingestion()?;
        for (key, value) in values {
            meta.write(key, value)?;
        }
        meta.finish()
    }
}

fn delete_all<'k>(table: &fjall::Keyspace, keys: impl IntoIterator<Item = &'k [u8]>) -> Result<(), fjall::Error> {
    let mut keys = keys.into_iter().peekable();
    if keys.peek().is_none() {
        return Ok(());
    }
    let mut ingestion = table.start_ingestion()?;
    for key in keys {
        ingestion.write_tombstone(key)?;
    }
    ingestion.finish()
}
