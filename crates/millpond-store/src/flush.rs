//! Flush: hands a frozen memtable to the LSM, sorted, in the background.
//!
//! Rows go first, then records, then the small tables, and last the mark that the log up to here is
//! no longer needed. Each step may be repeated: a crash in between only means that the log is
//! replayed over tables that hold part of it already.

use millpond_core::Position;

use crate::cache::SlotIndex;
use crate::error::Error;
use crate::keys::write_row_key;
use crate::lsm::{Lsm, encode_row_value};
use crate::memory::RECORDED;
use crate::memtable::{Memtable, NO_ROW};
use crate::op::{RowRef, Table};

/// A memtable that is not written to any more, and the keys that it changed.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) memtable: Memtable,
    pub(crate) keys: Vec<FrozenKey>,
}

/// A key that changed.
#[derive(Debug)]
pub(crate) struct FrozenKey {
    pub(crate) slot: SlotIndex,
    /// Its newest row.
    pub(crate) head: u32,
    /// Rows at or below are deleted.
    pub(crate) trimmed_to: Option<Position>,
}

/// Keys and encoded records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    /// Where each key and its record end.
    ends: Vec<(usize, usize)>,
    /// The newest commit that one of them has.
    newest: u64,
}

impl Records {
    pub(crate) fn add(&mut self, key: &str, commit: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        self.newest = self.newest.max(commit);
        self.bytes.extend_from_slice(key.as_bytes());
        let middle = self.bytes.len();
        encode(&mut self.bytes);
        self.ends.push((middle, self.bytes.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn key(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before].1);
        &self.bytes[start..self.ends[index].0]
    }

    fn record(&self, index: usize) -> &[u8] {
        let (middle, end) = self.ends[index];
        &self.bytes[middle..end]
    }
}

impl Frozen {
    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotIndex> {
        self.keys.iter().map(|key| key.slot)
    }

    /// Writes everything to the tables, given the record of each key.
    ///
    /// # Errors
    /// If the tables cannot be written: the log still has it all.
    pub(crate) fn flush(&self, lsm: &Lsm, records: &Records) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_unstable_by(|a, b| records.key(*a).cmp(records.key(*b)));
        self.flush_rows(lsm, records, &order).map_err(|error| lsm.failed(error))?;
        flush_records(lsm, records, &order).map_err(|error| lsm.failed(error))?;
        for table in Table::ALL {
            let recorded = (table == Table::Meta).then_some(records.newest);
            self.flush_side(lsm, table, recorded).map_err(|error| lsm.failed(error))?;
        }
        Ok(())
    }

    fn flush_rows(&self, lsm: &Lsm, records: &Records, order: &[usize]) -> Result<(), fjall::Error> {
        if self.keys.iter().all(|key| key.head == NO_ROW && key.trimmed_to.is_none()) {
            return Ok(());
        }
        lsm.make_room(&lsm.events)?;
        let mut ingestion = lsm.events.start_ingestion()?;
        let (mut row_key, mut value) = (Vec::new(), Vec::new());
        let mut rows: Vec<RowRef<'_>> = Vec::new();
        for index in order {
            let (frozen, key) = (&self.keys[*index], records.key(*index));
            if let Some(trimmed_to) = &frozen.trimmed_to {
                for dead in covered(lsm, key, trimmed_to)? {
                    ingestion.write_tombstone(dead)?;
                }
            }
            rows.clear();
            let trimmed_to = frozen.trimmed_to.as_ref().map(|at| (at.timestamp, at.id.as_bytes()));
            let kept = |row: &RowRef<'_>| trimmed_to.is_none_or(|trimmed_to| row.place() > trimmed_to);
            rows.extend(self.memtable.chain(frozen.head).filter(kept));
            // Arrivals are nearly in order: the chain, newest first, is nearly sorted backwards.
            rows.reverse();
            if rows.windows(2).any(|pair| pair[0].place() >= pair[1].place()) {
                rows.sort_by_key(RowRef::place);
                rows.dedup_by_key(|row| row.place());
            }
            for row in &rows {
                row_key.clear();
                value.clear();
                write_row_key(&mut row_key, key, row.place());
                encode_row_value(&mut value, row.put_at, row.body);
                ingestion.write(row_key.as_slice(), value.as_slice())?;
            }
        }
        ingestion.finish()
    }

    fn flush_side(&self, lsm: &Lsm, table: Table, recorded: Option<u64>) -> Result<(), fjall::Error> {
        let mut values: Vec<(&[u8], Option<&[u8]>)> = self.memtable.side_of(table, &[]).collect();
        let recorded = recorded.map(|commit| postcard::to_stdvec(&commit).expect("a number always has bytes"));
        if let Some(recorded) = &recorded {
            let place = values.partition_point(|(key, _)| *key < RECORDED);
            values.insert(place, (RECORDED, Some(recorded)));
        }
        if values.is_empty() {
            return Ok(());
        }
        lsm.make_room(lsm.side(table))?;
        let mut ingestion = lsm.side(table).start_ingestion()?;
        for (key, value) in values {
            match value {
                Some(value) => ingestion.write(key, value)?,
                None => ingestion.write_tombstone(key)?,
            }
        }
        ingestion.finish()
    }
}

pub(crate) fn flush_records(lsm: &Lsm, records: &Records, order: &[usize]) -> Result<(), fjall::Error> {
    if order.is_empty() {
        return Ok(());
    }
    lsm.make_room(&lsm.views)?;
    let mut ingestion = lsm.views.start_ingestion()?;
    for index in order {
        ingestion.write(records.key(*index), records.record(*index))?;
    }
    ingestion.finish()
}

/// The keys of the rows in the table at or below a position.
fn covered(lsm: &Lsm, key: &[u8], trimmed_to: &Position) -> Result<Vec<fjall::UserKey>, fjall::Error> {
    let (mut start, mut end) = (key.to_vec(), Vec::new());
    start.push(0);
    write_row_key(&mut end, key, (trimmed_to.timestamp, trimmed_to.id.as_bytes()));
    lsm.events.range(start..=end).map(fjall::Guard::key).collect()
}
