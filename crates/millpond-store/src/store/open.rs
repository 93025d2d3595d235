//! Opening: tables first, then the log's tail over them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use millpond_core::Join;
use xxhash_rust::xxh3::xxh3_64;

use super::erase::{CHANGES_FLOOR, COMPACTION_OWED, ERASED_AT};
use super::{Flush, Options, Shared, Store, Writer, flush_all};
use crate::error::Error;
use crate::folder::{self, DataFolder};
use crate::log::{Log, LogOptions, Recovery, Sync};
use crate::lsm::Lsm;
use crate::memory::{COUNTERS, FLUSHED, Memory, RECORDED};
use crate::op::Table;
use crate::sync::{Arc, Condvar, Mutex, OnceLock, mpsc, thread};

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whether the join was made just now.
    pub created: bool,
    /// Commits of the log that were folded again.
    pub commits_replayed: u64,
    /// The unfinished commit at the end of the log that was cut off, if there was one: file, offset
    /// and bytes. It had never been acknowledged.
    pub torn: Option<(PathBuf, u64, u64)>,
}

impl Store {
    /// Opens a join by its name, with its stored definition.
    ///
    /// # Errors
    /// [`Error::NoJoin`] if there is none; [`Error::Damaged`] if its files are not whole.
    pub fn open(folder: &DataFolder, name: &str, options: Options) -> Result<(Self, Opened), Error> {
        // A name from outside must not lead out of the folder: only names that are listed are touched.
        let known = folder.joins()?;
        if !known.iter().any(|join| join == name) {
            return Err(Error::NoJoin { name: name.to_owned(), known });
        }
        let dir = folder.join_dir(name);
        finish_swap(&dir)?;
        let stored = folder::read(&dir)?.ok_or_else(|| Error::NoJoin { name: name.to_owned(), known })?;
        let join =
            Join::parse(&stored.definition).map_err(|faults| Error::StoredDefinition { dir: dir.clone(), faults })?;
        open_dir(&dir, join, options, Begin::stored(stored.history))
    }

    /// Opens the join of a definition, making it if it is not there. If its stored definition
    /// makes other states, the store opens as it is: [`Store::rebuild`] is the caller's decision.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_or_create(folder: &DataFolder, join: Join, options: Options) -> Result<(Self, Opened), Error> {
        let dir = folder.join_dir(join.name());
        finish_swap(&dir)?;
        let Some(stored) = folder::read(&dir)? else {
            clear_unmade(&dir)?;
            folder::create(&dir, join.source_text())?;
            folder::sync_dir(folder.dir())?;
            let history = folder::new_history();
            let store = open_dir(&dir, join, options, Begin { history, created: true, after: 0 })?;
            folder::write_manifest(&dir, history)?;
            return Ok(store);
        };
        let begin = Begin::stored(stored.history);
        let stored =
            Join::parse(&stored.definition).map_err(|faults| Error::StoredDefinition { dir: dir.clone(), faults })?;
        if stored.fingerprint() != join.fingerprint() {
            return open_dir(&dir, stored, options, begin);
        }
        if stored.source_text() != join.source_text() {
            folder::write_definition(&dir, join.source_text())?; // defaults, lateness and the like
        }
        open_dir(&dir, join, options, begin)
    }
}

/// Removes what a crash left of a join that was being made: the tables cannot go on from there.
/// Without a manifest nothing was ever committed; if something was, the manifest has been lost.
fn clear_unmade(dir: &Path) -> Result<(), Error> {
    let (log, tables) = (dir.join("log"), dir.join("tables"));
    if log.is_dir() {
        match crate::log::check(&log, 0, |_| Ok(())) {
            Ok(found) if found.last_commit == 0 => {}
            Err(error @ Error::Io { .. }) => return Err(error),
            _ => {
                let what = "its MANIFEST is missing, but its log has commits".to_owned();
                return Err(Error::Damaged { file: dir.to_owned(), offset: 0, what });
            }
        }
        fs::remove_dir_all(&log).map_err(Error::io("remove", &log))?;
    }
    if tables.is_dir() {
        fs::remove_dir_all(&tables).map_err(Error::io("remove", &tables))?;
    }
    Ok(())
}

/// What a store begins with.
pub(super) struct Begin {
    pub(super) history: u64,
    /// Nothing is there yet.
    pub(super) created: bool,
    /// The commits of a new store are numbered on from here.
    pub(super) after: u64,
}

impl Begin {
    pub(super) fn stored(history: u64) -> Self {
        Self { history, created: false, after: 0 }
    }
}

/// Opens what is in a join's folder under a definition that fits it.
pub(super) fn open_dir(dir: &Path, join: Join, options: Options, begin: Begin) -> Result<(Store, Opened), Error> {
    let Begin { history, created, after } = begin;
    let lsm = Arc::new(Lsm::open(&dir.join("tables"), options.block_cache_bytes)?);
    let mut memory = Memory::new(options.cache_bytes, options.duplicates_bytes_kept);
    memory.flushed = number_in_meta(&lsm, FLUSHED)?.unwrap_or(0);
    if let Some(value) = lsm.get(Table::Meta, COUNTERS)? {
        let unreadable = |_| Error::Unreadable { what: "the counters".to_owned() };
        memory.counters = postcard::from_bytes(&value).map_err(unreadable)?;
    }
    memory.erasures.floor = number_in_meta(&lsm, CHANGES_FLOOR)?.unwrap_or(0);
    memory.erased_at = number_in_meta(&lsm, ERASED_AT)?.unwrap_or(0);
    memory.compaction_owed = number_in_meta(&lsm, COMPACTION_OWED)?;
    memory.flushed = memory.flushed.max(after);
    memory.durable = memory.flushed;
    memory.active.last_commit = memory.flushed;
    let sync = if options.durable { Sync::Every } else { Sync::Never };
    let log_options = LogOptions { dir: dir.join("log"), sync };
    if !created && !log_options.dir.is_dir() {
        let what = "the log is missing; a join always has one".to_owned();
        return Err(Error::Damaged { file: log_options.dir, offset: 0, what });
    }
    let found =
        Log::read(log_options, memory.flushed, |commit| memory.replay(&join, &lsm, commit.number, commit.payload))?;
    found.must_reach(memory.cache.loaded_commit().max(number_in_meta(&lsm, RECORDED)?.unwrap_or(0)))?;
    let (log, recovery): (Log, Recovery) = found.open()?;
    let (memory, log_bytes) = (Mutex::new(memory), AtomicU64::new(log.bytes()));
    let shared = Arc::new(Shared { memory, changed: Condvar::new(), log_bytes, listener: OnceLock::new() });
    let flusher = start_flusher(&lsm, &shared)?;
    let opened = Opened {
        created,
        commits_replayed: recovery.commits_replayed,
        torn: recovery.torn.map(|torn| (torn.file, torn.offset, torn.bytes)),
    };
    let writer = Mutex::new(Writer { log, frame: Vec::new() });
    let edition = xxh3_64(&[&history.to_be_bytes(), join.source_text().as_bytes()].concat()) as u32;
    let dir = dir.to_owned();
    let (compacting, flusher) = (Mutex::default(), Some(flusher));
    let store = Store { join, history, edition, dir, options, lsm, writer, compacting, shared, flusher };
    store.finish_erasure()?;
    Ok((store, opened))
}

fn number_in_meta(lsm: &Lsm, key: &[u8]) -> Result<Option<u64>, Error> {
    let unreadable = |_| Error::Unreadable { what: format!("the number `{}`", key.escape_ascii()) };
    lsm.get(Table::Meta, key)?.map(|value| postcard::from_bytes(&value).map_err(unreadable)).transpose()
}

fn start_flusher(lsm: &Arc<Lsm>, shared: &Arc<Shared>) -> Result<(mpsc::Sender<Flush>, thread::JoinHandle<()>), Error> {
    let (sender, receiver) = mpsc::channel();
    let (lsm, shared) = (Arc::clone(lsm), Arc::clone(shared));
    let thread = thread::Builder::new()
        .name("millpond-flush".into())
        .spawn(move || flush_all(&receiver, &lsm, &shared))
        .map_err(Error::io("start a thread for", Path::new("flushing")))?;
    Ok((sender, thread))
}

/// Where a rebuild is made, and where the old store waits to be removed.
pub(super) fn rebuild_dirs(dir: &Path) -> (PathBuf, PathBuf) {
    (dir.with_extension("rebuild"), dir.with_extension("old"))
}

/// Ends what a crash left of a rebuild: see `rebuild.rs` for the order of its renames.
pub(super) fn finish_swap(dir: &Path) -> Result<(), Error> {
    let (new, old) = rebuild_dirs(dir);
    if !dir.exists() && new.exists() && old.exists() {
        fs::rename(&new, dir).map_err(Error::io("rename", &new))?;
    }
    for left in [new, old] {
        if left.exists() && dir.exists() {
            fs::remove_dir_all(&left).map_err(Error::io("remove", &left))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::flush::{Records, flush_records};
    use crate::{Batch, DataFolder};

    const JOIN: &str = "name = \"j\"\n[key]\ne = \"k\"\n[view]\nn = { count = \"e\" }\n";

    fn ingest(store: &Store, id: &str) {
        let event = format!(r#"{{"id":"{id}","type":"e","timestamp":1,"k":"key"}}"#);
        store.ingest(&Batch { events: &[event.as_bytes()], now: 1, ..Batch::default() }).unwrap();
    }

    /// One event was on its way to the tables when another came: the key's record went there with
    /// both, before a crash. Then a bit of the last commit turned over on the disk, which looks like an
    /// append that the crash broke off. Opening cut it, and everybody who waited for the record to become
    /// durable waited for ever; and a later commit of the same number would not have been joined.
    fn opened_without_the_last_commit(is_flushed_whole: bool, damage: impl FnOnce(&Path)) -> Error {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        let store = Store::open_or_create(&folder, Join::parse(JOIN).unwrap(), Options::default()).unwrap().0;
        ingest(&store, "1");
        let frozen = store.memory().unwrap().freeze();
        ingest(&store, "2");
        let mut records = Records::default();
        assert!(store.memory().unwrap().take_down(&frozen.keys, &mut records));
        match is_flushed_whole {
            true => frozen.flush(&store.lsm, &records).unwrap(),
            false => flush_records(&store.lsm, &records, &[0]).unwrap(),
        }
        drop(store);
        let log = fs::read_dir(dir.path().join("j/log")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
        damage(&log);
        let left = fs::read(&log).ok();
        let error = Store::open(&folder, "j", Options::default()).map(drop).unwrap_err();
        assert_eq!(fs::read(&log).ok(), left, "what cannot be opened is left as it is");
        error
    }

    #[test]
    fn a_last_commit_of_which_the_tables_know_is_not_taken_for_one_that_a_crash_broke_off() {
        let cut = |log: &Path| {
            let file = OpenOptions::new().write(true).open(log).unwrap();
            file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        };
        for is_flushed_whole in [false, true] {
            let said = opened_without_the_last_commit(is_flushed_whole, cut).to_string();
            assert!(said.contains("ends here, with commit 1, but the tables know of commit 2"), "{said}");
        }
    }

    /// A log without any file was taken for a new one, whatever the tables knew.
    #[test]
    fn a_log_whose_files_are_gone_is_no_new_log() {
        let said = opened_without_the_last_commit(true, |log| fs::remove_file(log).unwrap()).to_string();
        assert!(said.contains("ends here, with commit 1, but the tables know of commit 2"), "{said}");
    }
}
