//! Rebuild: joins all stored events anew under a changed definition, beside the old store, and
//! then takes its place.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;

use millpond_core::store::Row;
use millpond_core::{Event, Join};

use super::erase::{CHANGES_FLOOR, ERASED, ERASED_AT};
use super::ingest::{Batch, Outcome};
use super::open::{Begin, open_dir, rebuild_dirs};
use super::{Options, Store};
use crate::error::Error;
use crate::folder::{self, DataFolder};
use crate::op::Table;

/// Events and bytes of one commit while rebuilding.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: usize = 16 << 20;

/// What a rebuild did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Rows read from the old store.
    pub rows: u64,
    /// Events joined under the new definition.
    pub accepted: u64,
    /// Rows whose type the new definition does not know.
    pub ignored: u64,
    /// Rows that have no key under the new definition: they are in quarantine.
    pub quarantined: u64,
}

impl Store {
    /// Whether a definition makes the states that are stored here.
    #[must_use]
    pub fn serves(&self, join: &Join) -> bool {
        self.join.fingerprint() == join.fingerprint()
    }

    /// How many keys have lost rows to a trim: with any, history is not complete.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn trimmed_keys(&self) -> Result<u64, Error> {
        let mut trimmed = 0;
        self.each_record(|_, record| {
            trimmed += u64::from(record.trimmed_to.is_some());
            Ok(())
        })?;
        Ok(trimmed)
    }

    /// Rebuilds under `join`, and opens the result. The old store stays whole until the new one is
    /// complete and durable; a crash in between leaves one of the two.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if history was trimmed; [`Error::WouldDrop`] if there are events of
    /// types that `join` no longer names, unless `drop_unnamed`; otherwise if a store fails. The
    /// old one is unchanged.
    pub fn rebuild(
        self,
        folder: &DataFolder,
        join: Join,
        drop_unnamed: bool,
        mut progress: impl FnMut(&Rebuilt),
    ) -> Result<(Self, Rebuilt), Error> {
        let trimmed = self.trimmed_keys()?;
        if trimmed > 0 {
            return Err(Error::Incomplete { name: self.join.name().to_owned(), trimmed_keys: trimmed });
        }
        self.flush()?;
        if !drop_unnamed {
            self.refuse_to_drop(&join)?;
        }
        let options = self.options.clone();
        let dir = self.dir.clone();
        let (new_dir, old_dir) = rebuild_dirs(&dir);
        if new_dir.exists() {
            fs::remove_dir_all(&new_dir).map_err(Error::io("remove", &new_dir))?;
        }
        folder::create(&new_dir, join.source_text())?;
        let quick = Options { durable: false, log_bytes_kept: 0, ..options.clone() };
        let definition = join.source_text().to_owned();
        // Its commits are numbered on, so that a version never means two documents.
        let history = self.history;
        let begin = Begin { history, created: true, after: self.last_commit() };
        let (new, _) = open_dir(&new_dir, join, quick, begin)?;
        new.begin_anew(self.erased()?, self.memory()?.erased_at)?;
        let done = self.copy_into(&new, &mut progress)?;
        // The tables are synced by the flush, and the log holds nothing after it.
        new.close()?;
        folder::write_manifest(&new_dir, history)?;
        let name = self.join.name().to_owned();
        let aside = folder.is_set_aside(&name);
        drop(self);
        fs::rename(&dir, &old_dir).map_err(Error::io("rename", &dir))?;
        fs::rename(&new_dir, &dir).map_err(Error::io("rename", &new_dir))?;
        folder::sync_dir(folder.dir())?;
        folder.set_aside(&name, aside)?;
        fs::remove_dir_all(&old_dir).map_err(Error::io("remove", &old_dir))?;
        let join = Join::parse(&definition).map_err(|faults| Error::StoredDefinition { dir: dir.clone(), faults })?;
        Ok((open_dir(&dir, join, options, Begin::stored(history))?.0, done))
    }

    /// Hashes of erased keys, and when they were.
    fn erased(&self) -> Result<BTreeMap<u128, u64>, Error> {
        let unreadable = || Error::Unreadable { what: "the mark of an erasure".to_owned() };
        let mut erased = BTreeMap::new();
        self.scan_side(Table::Meta, ERASED, |key, value| {
            let Some(hash) = key.strip_prefix(ERASED) else { return Ok(ControlFlow::Break(())) };
            let hash = u128::from_be_bytes(hash.try_into().map_err(|_| unreadable())?);
            erased.insert(hash, postcard::from_bytes(value).map_err(|_| unreadable())?);
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(erased)
    }

    /// The first commit of a rebuild: readers of changes must begin anew, and what was erased stays
    /// so, though other keys still have its events.
    fn begin_anew(&self, erased: BTreeMap<u128, u64>, erased_at: u64) -> Result<(), Error> {
        let bytes = |number: u64| postcard::to_stdvec(&number).expect("a number always has bytes");
        self.commit(|commit| {
            commit.put(Table::Meta, CHANGES_FLOOR, Some(&bytes(commit.number)));
            commit.put(Table::Meta, ERASED_AT, Some(&bytes(erased_at)));
            for (hash, at) in &erased {
                commit.put(Table::Meta, &[ERASED, &hash.to_be_bytes()].concat(), Some(&bytes(*at)));
            }
            commit.memory.erased = erased;
            Ok(())
        })
    }

    fn copy_into(&self, new: &Self, progress: &mut impl FnMut(&Rebuilt)) -> Result<Rebuilt, Error> {
        let sight = self.lsm.sight();
        let mut done = Rebuilt::default();
        let mut batch: Vec<Row> = Vec::with_capacity(BATCH_ROWS);
        let mut bytes = 0;
        for item in sight.scan(&self.lsm, &self.lsm.events, Vec::new()) {
            let (key, value) = item?;
            let (_, row) = self.lsm.parse_row(&key, &value)?;
            // A commit has one clock: rows of another `put_at` start a new one.
            if batch.len() == BATCH_ROWS
                || bytes > BATCH_BYTES
                || batch.first().is_some_and(|first| first.put_at != row.put_at)
            {
                new.copy_batch(&mut batch, &mut done)?;
                bytes = 0;
                progress(&done);
            }
            bytes += row.body.len();
            batch.push(row);
        }
        new.copy_batch(&mut batch, &mut done)?;
        self.each_side(Table::Quarantine, |place, value| {
            let mut memory = new.memory()?;
            memory.counters.received += 1;
            memory.counters.quarantined += 1;
            drop(memory);
            new.copy_value(Table::Quarantine, place, value)
        })?;
        // Nothing is closed any more, and every row is there: what was late can be joined exactly.
        self.each_late(None, |entry| {
            let row = entry.event.row;
            new.ingest(&Batch { events: &[row.body.as_bytes()], now: row.put_at, ..Batch::default() })?;
            Ok::<(), Error>(())
        })?;
        Ok(done)
    }

    /// Events of a type that the definition no longer names would be gone.
    fn refuse_to_drop(&self, join: &Join) -> Result<(), Error> {
        let unnamed: Vec<&str> = self.join.type_names().filter(|name| join.type_index(name).is_none()).collect();
        if unnamed.is_empty() {
            return Ok(());
        }
        let mut rows = 0;
        let sight = self.lsm.sight();
        for item in sight.scan(&self.lsm, &self.lsm.events, Vec::new()) {
            let (key, value) = item?;
            let (of, row) = self.lsm.parse_row(&key, &value)?;
            let event = Event::read(&self.join, row.body.as_bytes()).map_err(|source| Error::Row {
                key: of.to_owned(),
                position: row.position.clone(),
                source,
            })?;
            rows += u64::from(unnamed.contains(&&*event.kind));
        }
        self.each_late(None, |entry| {
            let row = entry.event.row;
            let event = Event::read(&self.join, row.body.as_bytes()).map_err(|source| Error::Row {
                key: entry.key,
                position: row.position.clone(),
                source,
            })?;
            rows += u64::from(unnamed.contains(&&*event.kind));
            Ok::<(), Error>(())
        })?;
        if rows == 0 {
            return Ok(());
        }
        let types = unnamed.into_iter().map(str::to_owned).collect();
        Err(Error::WouldDrop { name: self.join.name().to_owned(), types, rows })
    }

    fn copy_batch(&self, batch: &mut Vec<Row>, done: &mut Rebuilt) -> Result<(), Error> {
        let Some(first) = batch.first() else { return Ok(()) };
        let events: Vec<&[u8]> = batch.iter().map(|row| row.body.as_bytes()).collect();
        let outcomes = self.ingest(&Batch { events: &events, now: first.put_at, ..Batch::default() })?;
        done.rows += batch.len() as u64;
        for (_, outcome) in outcomes {
            match outcome {
                Outcome::Accepted => done.accepted += 1,
                Outcome::Ignored => done.ignored += 1,
                Outcome::Quarantined(_) => done.quarantined += 1,
                // An event of several keys is stored once a key, and comes as often.
                Outcome::Duplicate | Outcome::Late => {}
            }
        }
        batch.clear();
        Ok(())
    }

    fn copy_value(&self, table: Table, place: &[u8], value: &[u8]) -> Result<(), Error> {
        self.commit(|commit| {
            commit.put(table, place, Some(value));
            Ok(())
        })
    }
}
