//! Erasure: everything that is stored of a key goes, down to the bytes on disk.
//!
//! The log is flushed first, so that only the tables hold the key. Then one commit says what is
//! about to happen, the tables delete, the log is emptied, and the tables are written anew. After a
//! crash in between, opening deletes and empties the log before anybody is let in; that the tables
//! are to be written anew is remembered until it is done.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use memchr::memmem;
use millpond_core::process::consumer::{self, Read};
use xxhash_rust::xxh3::xxh3_128;

use super::Store;
use super::late::LateValue;
use super::quarantine::id_of;
use crate::error::Error;
use crate::keys::row_prefix;
use crate::log::Log;
use crate::lsm::{Lsm, Sight};
use crate::memory::{COUNTERS, FLUSHED, Memory};
use crate::op::{Table, write_erase};
use crate::sync::PoisonError;

/// How long a compaction waits for those who still read the old tables.
const READERS_PATIENCE: Duration = Duration::from_secs(30);
/// Other keys that a report names at most.
const ALSO_AT_MAX: usize = 100;
/// Prefix of the hashes of erased keys in [`Table::Meta`].
pub(super) const ERASED: &[u8] = b"erased/";
/// Key of the time of the last erasure in [`Table::Meta`].
pub(crate) const ERASED_AT: &[u8] = b"erased-at";
/// Key of the last erasure's commit in [`Table::Meta`], for as long as its bytes may be on the disk.
pub(crate) const COMPACTION_OWED: &[u8] = b"compaction-owed";
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
    /// Whether the bytes are gone from the disk; if not, somebody was still reading the old tables, or
    /// the disk failed: [`Store::compact_owed`] goes on with it.
    pub compacted: bool,
}

/// What lies in the tables of a key.
#[derive(Default)]
struct Found {
    rows: Vec<Vec<u8>>,
    late: Vec<Vec<u8>>,
    quarantine: Vec<Vec<u8>>,
    /// When the newest of it was put.
    newest: u64,
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
    /// up while it flushes and looks through the quarantine.
    ///
    /// # Errors
    /// If the store failed. If it was begun, the next opening and [`Store::compact_owed`] end it.
    pub fn erase(&self, key: &str, now: u64) -> Result<Option<Erasure>, Error> {
        let Some(report) = self.delete_key(key, now)? else { return Ok(None) };
        // What fails now is owed, and the report must not be lost by it.
        let compacted = self.compact_owed().unwrap_or(false);
        Ok(Some(Erasure { compacted, ..report }))
    }

    /// Removes everything of a key but its bytes in the tables' files.
    fn delete_key(&self, key: &str, now: u64) -> Result<Option<Erasure>, Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush_log(&mut writer.log)?;
        let found = self.find(key)?;
        if found.is_empty() {
            return Ok(None);
        }
        // A rebuild goes by time: whatever is put before this counts as erased, and nothing after it.
        let now = now.max(found.newest).max(self.memory()?.erased_at);
        let log = &mut writer.log;
        let number = log.next_commit();
        let mut frame = Vec::new();
        let start = Log::begin_frame(&mut frame);
        write_erase(&mut frame, key, now);
        Log::seal_frame(&mut frame, start, number)?;
        let erased = log.append(&frame).and_then(|()| self.delete(log, number, key, now, &found));
        erased.inspect_err(|error| self.shared.stop(format!("an erasure broke off: {error}")))?;
        self.shared.tell(number); // before the next writer is let in: in the order of commits
        Ok(Some(found.report))
    }

    /// Whether there is something for [`Store::compact_owed`] to do that nobody does already.
    #[must_use]
    pub fn owes_compaction(&self) -> bool {
        self.shared.lock().compaction_owed.is_some() && self.compacting.try_lock().is_ok()
    }

    /// Writes the tables anew if bytes of what was erased may still be in them: because somebody was
    /// reading for long, or after a crash. Whether they are gone now.
    ///
    /// # Errors
    /// If the tables cannot be written.
    pub fn compact_owed(&self) -> Result<bool, Error> {
        let _one = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(owed) = self.memory()?.compaction_owed else { return Ok(true) };
        if !self.lsm.compact(READERS_PATIENCE)? {
            return Ok(false);
        }
        self.commit(|commit| {
            // A later erasure compacts for itself.
            if commit.memory.compaction_owed == Some(owed) {
                commit.memory.compaction_owed = None;
                commit.put(Table::Meta, COMPACTION_OWED, None);
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Ends what a crash left of an erasure, before anybody else is let in.
    pub(super) fn finish_erasure(&self) -> Result<(), Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = self.memory()?;
        let (erasing, owed) = (memory.erasing.take(), memory.compaction_owed);
        drop(memory);
        match (erasing, owed) {
            (Some((number, key, at)), _) => {
                // The view may be gone, and the count, which goes with the last table, not know it.
                let keys = self.lsm.views.len().map_err(|error| self.lsm.failed(error))?;
                self.memory()?.counters.keys = keys as u64;
                let found = self.find(&key)?;
                self.delete(&mut writer.log, number, &key, at, &found)
            }
            (None, Some(number)) => empty_log(&mut writer.log, number),
            (None, None) => Ok(()),
        }
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
            found.newest = found.newest.max(row.put_at);
            if also_at.len() < ALSO_AT_MAX {
                also_at.extend(self.keys_of(row.body.as_bytes()).into_iter().filter(|other| other != key));
            }
            found.rows.push(place);
        }
        found.report.also_at = also_at.into_iter().take(ALSO_AT_MAX).collect();
        found.report.events = found.rows.len() as u64;
        for item in sight.scan(&self.lsm, self.lsm.side(Table::Late), prefix.clone()) {
            let (place, value) = item?;
            if !place.starts_with(&prefix) {
                break;
            }
            if let LateValue::Waiting(late) = LateValue::decode(&value)? {
                found.newest = found.newest.max(late.row.put_at);
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
            if self.keys_of(&entry.bytes).iter().any(|of| of == key) {
                found.newest = found.newest.max(entry.at);
                found.quarantine.push(place);
                found.report.quarantined += 1;
            } else if mention.find(&entry.bytes).or_else(|| mention.find(&unescaped(&entry.bytes))).is_some() {
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
        memory.duplicates.forget(key);
        self.delete_from_tables(&memory, number, key, now, found).map_err(|error| self.lsm.failed(error))?;
        memory.active = Default::default();
        memory.active.last_commit = number;
        memory.flushed = number;
        memory.durable = number;
        memory.uncounted = false;
        memory.erasures.push(number, key);
        memory.erased_at = memory.erased_at.max(now);
        memory.compaction_owed = Some(number);
        drop(memory);
        empty_log(log, number)
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
        delete_all(lsm, &lsm.events, found.rows.iter().map(Vec::as_slice))?;
        delete_all(lsm, &lsm.views, [key.as_bytes()])?;
        delete_all(lsm, lsm.side(Table::Snapshots), [key.as_bytes()])?;
        delete_all(lsm, lsm.side(Table::Late), found.late.iter().map(Vec::as_slice))?;
        delete_all(lsm, lsm.side(Table::Quarantine), found.quarantine.iter().map(Vec::as_slice))?;
        let bytes = |number: &u64| postcard::to_stdvec(number).expect("a number always has bytes");
        let counters = postcard::to_stdvec(&memory.counters).expect("counters always have bytes: they are plain data");
        let hash = [ERASED, &xxh3_128(key.as_bytes()).to_be_bytes()].concat();
        // In the order of keys; it is one ingestion, so the mark of the flush stands with the rest.
        let mut values = [
            (CHANGES_FLOOR, bytes(&number)),
            (COMPACTION_OWED, bytes(&number)),
            (COUNTERS, counters),
            (ERASED_AT, bytes(&now.max(memory.erased_at))),
            (&hash, bytes(&now)),
            (FLUSHED, bytes(&number)),
        ];
        values.sort();
        lsm.make_room(lsm.side(Table::Meta))?;
        let mut meta = lsm.side(Table::Meta).start_ingestion()?;
        for (key, value) in values {
            meta.write(key, value)?;
        }
        meta.finish()
    }
}

/// Removes all segments of the log up to an erasure.
fn empty_log(log: &mut Log, number: u64) -> Result<(), Error> {
    log.rotate()?;
    log.remove_through(number, 0)?;
    Ok(())
}

/// JSON's text with its escapes undone, as far as they can be; what stays is as it was.
fn unescaped(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', bytes) else { return Cow::Borrowed(bytes) };
    let mut plain = bytes[..first].to_vec();
    let mut rest = &bytes[first..];
    while let Some((&byte, after)) = rest.split_first() {
        let escape = if byte == b'\\' { escape(rest) } else { None };
        match escape {
            Some((char, len)) => {
                plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[len..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(plain)
}

/// The character of an escape at the start of a text, and the escape's length.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    Some(match text.get(1)? {
        b'u' => {
            let units = [unit(0)?, unit(6).unwrap_or(0)];
            let char = char::decode_utf16(units).next()?.ok()?;
            (char, 6 * char.len_utf16())
        }
        b'n' => ('\n', 2),
        b't' => ('\t', 2),
        b'r' => ('\r', 2),
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        other => (char::from(*other), 2),
    })
}

fn delete_all<'k>(
    lsm: &Lsm,
    table: &fjall::Keyspace,
    keys: impl IntoIterator<Item = &'k [u8]>,
) -> Result<(), fjall::Error> {
    let mut keys = keys.into_iter().peekable();
    if keys.peek().is_none() {
        return Ok(());
    }
    lsm.make_room(table)?;
    let mut ingestion = table.start_ingestion()?;
    for key in keys {
        ingestion.write_tombstone(key)?;
    }
    ingestion.finish()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Batch, DataFolder, Options};
    use millpond_core::Join;

    const KEY: &str = "person-qZ7xW2vK9";

    fn has_key(dir: &Path) -> bool {
        std::fs::read_dir(dir).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => has_key(&path),
                false => memmem::find(&std::fs::read(&path).unwrap(), KEY.as_bytes()).is_some(),
            }
        })
    }

    /// A store whose key is deleted, but for its bytes.
    fn deleted(folder: &DataFolder) -> Store {
        let join = "name = \"j\"\n[key]\ne = \"k\"\n[view]\nn = { count = \"e\" }\n";
        let store = Store::open_or_create(folder, Join::parse(join).unwrap(), Options::default()).unwrap().0;
        let event = format!(r#"{{"id":"1","type":"e","timestamp":1,"k":"{KEY}"}}"#);
        store.ingest(&Batch { events: &[event.as_bytes()], now: 1, ..Batch::default() }).unwrap();
        store.delete_key(KEY, 2).unwrap().unwrap();
        store
    }

    /// Killed while the tables were written anew: they are again, by whoever goes on.
    #[test]
    fn a_compaction_that_was_broken_off_is_owed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        drop(deleted(&folder));
        assert!(has_key(dir.path()));
        let open = || Store::open(&folder, "j", Options::default()).unwrap().0;
        let store = open();
        assert_eq!(store.document(KEY).unwrap(), None);
        assert!(store.compact_owed().unwrap() && !has_key(dir.path()));
        drop(store);
        assert_eq!(open().erase(KEY, 3).unwrap(), None, "nothing is owed any more");
    }

    /// A crash image from between two tables: the view was gone, and one key too many was counted
    /// for ever, since what ended the erasure found no view any more.
    #[test]
    fn an_erasure_that_is_ended_after_its_view_went_counts_the_key_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        let store = deleted(&folder);
        let event = |key: &str| format!(r#"{{"id":"2","type":"e","timestamp":3,"k":"{key}"}}"#);
        let (one, other) = (event(KEY), event("other"));
        store.ingest(&Batch { events: &[one.as_bytes(), other.as_bytes()], now: 3, ..Batch::default() }).unwrap();
        store.flush().unwrap();
        let number = store.last_commit() + 1;
        let mut frame = Vec::new();
        let start = Log::begin_frame(&mut frame);
        write_erase(&mut frame, KEY, 4);
        Log::seal_frame(&mut frame, start, number).unwrap();
        store.writer.lock().unwrap().log.append(&frame).unwrap();
        delete_all(&store.lsm, &store.lsm.views, [KEY.as_bytes()]).unwrap();
        drop(store);
        let store = Store::open(&folder, "j", Options::default()).unwrap().0;
        assert_eq!((store.document(KEY).unwrap(), store.counters().keys), (None, 1));
    }

    /// Who reads for long is not forgotten by the next try.
    #[test]
    fn bytes_are_only_gone_when_nobody_can_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        let store = deleted(&folder);
        let sight = store.lsm.sight();
        for _ in 0..3 {
            assert!(!store.lsm.compact(Duration::ZERO).unwrap());
        }
        drop(sight);
        assert!(store.lsm.compact(Duration::ZERO).unwrap() && !has_key(dir.path()));
    }
}
