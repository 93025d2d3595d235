//! Rows and values since the last flush. The log's bytes are kept as they were written, and the
//! memtable is an index into them: nothing is copied twice.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use millpond_core::At;
use std::hash::BuildHasher;

use crate::op::{RowRef, Table, read_row};

/// No row: the end of a chain.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// One generation: filled, then frozen while it is flushed.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    /// Sealed frames of the log, one after the other.
    pub(crate) arena: Vec<u8>,
    rows: Vec<Entry>,
    /// Rows by hash of key and position.
    index: HashTable<u32>,
    hasher: RandomState,
    /// Values of the small tables; `None` removes.
    side: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    side_bytes: usize,
    /// The last commit in here.
    pub(crate) last_commit: u64,
}

#[derive(Debug)]
struct Entry {
    /// Where the row begins in the arena.
    offset: usize,
    /// The same key's row before this one, or [`NO_ROW`].
    previous: u32,
    hash: u64,
}

impl Memtable {
    /// An empty one with room for as much as this one has, so that it does not have to grow while
    /// others wait.
    pub(crate) fn successor(&self) -> Self {
        Self {
            arena: Vec::with_capacity(self.arena.len()),
            rows: Vec::with_capacity(self.rows.len()),
            index: HashTable::with_capacity(self.rows.len()),
            last_commit: self.last_commit,
            ..Self::default()
        }
    }

    /// Indexes the row that lies at `offset`, after `previous` of the same key.
    pub(crate) fn push(&mut self, offset: usize, previous: u32, key: &str, at: At<'_>) -> u32 {
        let hash = self.hash(key, at);
        let number = self.rows.len() as u32; // a generation is flushed long before 2^32 rows
        self.rows.push(Entry { offset, previous, hash });
        let Self { index, rows, .. } = self;
        index.insert_unique(hash, number, |row| rows[*row as usize].hash);
        number
    }

    pub(crate) fn find(&self, key: &str, at: At<'_>) -> Option<RowRef<'_>> {
        let hash = self.hash(key, at);
        let same = |row: &u32| {
            let row = self.row(*row);
            row.place() == (at.timestamp, at.id.as_bytes()) && row.key == key.as_bytes()
        };
        self.index.find(hash, same).map(|row| self.row(*row))
    }

    fn hash(&self, key: &str, at: At<'_>) -> u64 {
        self.hasher.hash_one((key, at))
    }

    pub(crate) fn row(&self, number: u32) -> RowRef<'_> {
        let bytes = &self.arena[self.rows[number as usize].offset..];
        read_row(bytes).expect("a row lies where it was written").0
    }

    /// The rows of a chain, newest arrival first.
    pub(crate) fn chain(&self, head: u32) -> impl Iterator<Item = RowRef<'_>> {
        let mut next = head;
        std::iter::from_fn(move || {
            if next == NO_ROW {
                return None;
            }
            let row = self.row(next);
            next = self.rows[next as usize].previous;
            Some(row)
        })
    }

    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        let bytes = |value: Option<&[u8]>| key.len() + value.map_or(0, <[u8]>::len) + size_of::<Vec<u8>>() * 2;
        self.side_bytes += bytes(value);
        if let Some(before) = self.side.insert((table, key.to_vec()), value.map(<[u8]>::to_vec)) {
            self.side_bytes -= bytes(before.as_deref());
        }
    }

    /// The value of a small table, if it was written since the last flush.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.side.get(&(table, key.to_vec()))
    }

    /// The values of one small table from `start` on, in order.
    pub(crate) fn side_of(&self, table: Table, start: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.side
            .range((table, start.to_vec())..)
            .take_while(move |((of, _), _)| *of == table)
            .map(|((_, key), value)| (key.as_slice(), value.as_deref()))
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.len() + self.rows.len() * (size_of::<Entry>() + 8) + self.side_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.arena.is_empty() && self.side.is_empty()
    }
}
