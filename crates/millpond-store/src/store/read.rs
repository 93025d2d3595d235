//! Reading: memory and tables as one, and never what is not durable yet.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use millpond_core::store::Row;
use millpond_core::view::Folded;
use millpond_core::{Position, Snapshot, View};

use super::Store;
use crate::error::Error;
use crate::lsm::Sight;
use crate::memory::Memory;
use crate::op::Table;
use crate::record::{Closed, Record};
use crate::sync::MutexGuard;

/// A key's view, and the rows after its snapshot, of one moment.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// The view; its version is the number of the commit that changed its document last.
    pub view: View,
    /// All rows after the snapshot, in order.
    pub tail: Vec<Row>,
}

/// A view in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedView {
    /// Its key.
    pub key: String,
    /// The commit that changed its document last.
    pub version: u64,
    /// Its document, as one line of JSON.
    pub document: String,
}

/// A view with its snapshot, and all rows after it, of one moment.
pub(super) struct Whole {
    /// The commit that changed the key last.
    pub(super) commit: u64,
    /// Its snapshot, as the record has it.
    pub(super) closed: Option<Closed>,
    pub(super) view: View,
    pub(super) tail: Vec<Row>,
}

/// Some rows of a key.
#[derive(Clone, Debug)]
pub struct RowsPage {
    /// The rows, in order; the newest first where that was asked for.
    pub rows: Vec<Row>,
    /// The snapshot covers rows at or below.
    pub through: Option<Position>,
    /// Rows at or below are trimmed.
    pub trimmed_to: Option<Position>,
    /// How many rows are trimmed.
    pub trimmed: u64,
}

/// A document as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// The document.
    Document(String),
    /// No event of the key is as old.
    NoEvents,
    /// The events of that time are trimmed: the snapshot has them only as a whole, through here.
    BeforeSnapshot {
        /// The snapshot's boundary.
        through: Position,
    },
}

impl Store {
    /// The view of a key, without its snapshot's state.
    ///
    /// # Errors
    /// If the store is stopped or its tables cannot be read.
    pub fn view(&self, key: &str) -> Result<Option<View>, Error> {
        let (mut memory, known) = self.durable_slot(key)?;
        let Some(slot) = known else { return Ok(None) };
        let memory = &mut *memory;
        Ok(Some(memory.cache.slot(slot).record.view(&self.join, None)))
    }

    /// The document of a key as one line of JSON.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn document(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.view(key)?.map(|view| view.state.document(&self.join, key)))
    }

    /// The view of a key with its snapshot, and its tail.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn key_view(&self, key: &str) -> Result<Option<KeyView>, Error> {
        Ok(self.whole(key)?.map(|Whole { view, tail, .. }| KeyView { view, tail }))
    }

    pub(super) fn whole(&self, key: &str) -> Result<Option<Whole>, Error> {
        let (mut memory, known) = self.durable_slot(key)?;
        let Some(slot) = known else { return Ok(None) };
        let record = &memory.cache.slot(slot).record;
        let (commit, closed) = (record.commit, record.closed.clone());
        let view = whole_view(self, &mut memory, slot)?;
        let recent = memory.rows_in_memory(slot)?;
        let sight = self.lsm.sight();
        drop(memory);
        let tail = self.merged(&sight, key, view.through(), recent, usize::MAX)?;
        Ok(Some(Whole { commit, closed, view, tail }))
    }

    /// All rows of a key that are not trimmed, in order: those that the snapshot covers too.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn rows(&self, key: &str) -> Result<Vec<Row>, Error> {
        Ok(self.rows_page(key, None, usize::MAX)?.map_or_else(Vec::new, |page| page.rows))
    }

    /// The first rows of a key after a position, as [`Store::rows`].
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn rows_page(&self, key: &str, after: Option<&Position>, limit: usize) -> Result<Option<RowsPage>, Error> {
        let beyond = |trimmed_to: Option<&Position>| trimmed_to.max(after).cloned();
        let Some((mut page, sight)) = self.rows_known(key, |memory, slot, record| {
            let after = beyond(record.trimmed_to.as_ref());
            memory.first_in_memory(
                slot,
                limit,
                |at| after.as_ref().is_none_or(|after| at > place(after)),
                |a, b| a.cmp(&b),
            )
        })?
        else {
            return Ok(None);
        };
        let after = beyond(page.trimmed_to.as_ref());
        page.rows = self.merged(&sight, key, after.as_ref(), page.rows, limit)?;
        Ok(Some(page))
    }

    /// The last rows of a key before a position, the newest first: of those that [`Store::rows`] has. It
    /// reads no more of the tables than it gives, however long the history is.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn newest_rows_page(
        &self,
        key: &str,
        before: Option<&Position>,
        limit: usize,
    ) -> Result<Option<RowsPage>, Error> {
        let Some((mut page, sight)) = self.rows_known(key, |memory, slot, record| {
            let trimmed_to = record.trimmed_to.as_ref();
            let wanted = |at: (u64, &[u8])| {
                before.is_none_or(|before| at < place(before)) && trimmed_to.is_none_or(|trimmed| at > place(trimmed))
            };
            memory.first_in_memory(slot, limit, wanted, |a, b| b.cmp(&a))
        })?
        else {
            return Ok(None);
        };
        let range = (page.trimmed_to.as_ref().map(Position::at), before.map(Position::at));
        page.rows.extend(sight.newest_rows(&self.lsm, key, range, limit)?);
        page.rows.sort_by(|a, b| b.position.cmp(&a.position));
        page.rows.dedup_by(|a, b| a.position == b.position); // while it is flushed, a row is in both
        page.rows.truncate(limit);
        Ok(Some(page))
    }

    /// Rows of a key that are in memory, and a sight of the tables of the same moment.
    fn rows_known(
        &self,
        key: &str,
        recent: impl FnOnce(&Memory, u32, &Record) -> Result<Vec<Row>, Error>,
    ) -> Result<Option<(RowsPage, Sight)>, Error> {
        let (memory, known) = self.durable_slot(key)?;
        let Some(slot) = known else { return Ok(None) };
        let record = &memory.cache.slot(slot).record;
        let rows = recent(&memory, slot, record)?;
        let (through, trimmed_to) = (record.through().cloned(), record.trimmed_to.clone());
        let page = RowsPage { rows, through, trimmed_to, trimmed: record.trimmed };
        Ok(Some((page, self.lsm.sight())))
    }

    /// The document of a key as it was at a time: the fold of its events at or before it.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn document_at(&self, key: &str, at_ms: u64) -> Result<Option<AsOf>, Error> {
        let Some(Whole { view, tail, .. }) = self.whole(key)? else { return Ok(None) };
        let from_snapshot = view.through().is_none_or(|through| through.timestamp <= at_ms);
        let (snapshot, mut rows) = if from_snapshot {
            (view.snapshot.as_ref(), tail)
        } else {
            // Of another moment: they may have been trimmed since, or erased.
            let Some(page) = self.rows_page(key, None, usize::MAX)? else { return Ok(None) };
            if let (Some(_), Some(through)) = (page.trimmed_to, page.through) {
                return Ok(Some(AsOf::BeforeSnapshot { through }));
            }
            (None, page.rows)
        };
        rows.retain(|row| row.position.timestamp <= at_ms);
        let folded = Folded::from_snapshot(&self.join, snapshot).fold_all(&self.join, &rows);
        let folded =
            folded.map_err(|source| Error::Row { key: key.into(), position: view.folded_to.clone(), source })?;
        Ok(Some(match folded.events {
            0 => AsOf::NoEvents,
            _ => AsOf::Document(folded.state.document(&self.join, key)),
        }))
    }

    /// Up to `limit` views of keys after `after` with a given prefix, in the order of keys.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn views(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ListedView>, Error> {
        let listed = |(key, record): (String, Record)| {
            let document = record.state.document(&self.join, &key);
            ListedView { key, version: record.changed, document }
        };
        Ok(self.records(prefix, after, limit)?.into_iter().map(listed).collect())
    }

    /// Keys and documents of a page, as [`Store::views`].
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn documents(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, String)>, Error> {
        Ok(self.views(prefix, after, limit)?.into_iter().map(|view| (view.key, view.document)).collect())
    }

    /// Keys of a page, as [`Store::views`].
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        Ok(self.records(prefix, after, limit)?.into_iter().map(|(key, _)| key).collect())
    }

    /// Up to `limit` keys after `after`, in order, each with the number of rows after its snapshot.
    ///
    /// # Errors
    /// As [`Store::view`].
    pub fn tails(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, u64)>, Error> {
        let records = self.records("", after, limit)?;
        Ok(records.into_iter().map(|(key, record)| (key, record.tail())).collect())
    }

    pub(super) fn records(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Record)>, Error> {
        /// Keys put in order under one lock, so that nobody waits for a whole memtable of them.
        const ORDERED_AT_ONCE: usize = 2_000;
        while !self.memory()?.order_fresh(ORDERED_AT_ONCE) {}
        let mut memory = self.settled()?;
        memory.order_fresh(usize::MAX); // what came while the disk was waited for
        // What is not flushed yet comes from memory; no key of the page is beyond it and the tables.
        let start = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        let mut recent: BTreeMap<String, Option<Record>> = BTreeMap::new();
        for key in memory.fresh_keys(start, prefix, limit) {
            let record = memory.cache.find(&key).map(|slot| memory.cache.slot(slot).record.clone());
            recent.insert(key.into(), record.filter(|record| record.events > 0));
        }
        let sight = self.lsm.sight();
        drop(memory);
        let from = match start {
            Bound::Excluded(after) => [after.as_bytes(), &[0]].concat(),
            _ => prefix.as_bytes().to_vec(),
        };
        for item in sight.scan(&self.lsm, &self.lsm.views, from).take(limit) {
            let (key, value) = item?;
            let key = String::from_utf8(key).map_err(|_| Error::Unreadable { what: "a key of a view".into() })?;
            if !key.starts_with(prefix) {
                break;
            }
            if let Entry::Vacant(vacant) = recent.entry(key) {
                let record = self.lsm.decode_record(vacant.key(), &value)?;
                vacant.insert(Some(record));
            }
        }
        Ok(recent.into_iter().take(limit).filter_map(|(key, record)| Some((key, record?))).collect())
    }

    /// Every record, in the order of keys, page by page.
    pub(super) fn each_record(&self, mut each: impl FnMut(&str, Record) -> Result<(), Error>) -> Result<(), Error> {
        const PAGE: usize = 1_000;
        let mut after: Option<String> = None;
        loop {
            let page = self.records("", after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, record) in page {
                each(&key, record)?;
            }
        }
    }

    /// The slot of a key, once what is in it is durable.
    fn durable_slot(&self, key: &str) -> Result<(MutexGuard<'_, Memory>, Option<u32>), Error> {
        let mut memory = self.memory()?;
        loop {
            let Some(slot) = memory.known_slot(&self.lsm, key)? else { return Ok((memory, None)) };
            if memory.cache.slot(slot).record.commit <= memory.durable {
                return Ok((memory, Some(slot)));
            }
            memory = self.wait(memory)?;
        }
    }

    /// The first rows of memory and tables after a position, as one.
    pub(super) fn merged(
        &self,
        sight: &Sight,
        key: &str,
        after: Option<&Position>,
        recent: Vec<Row>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut rows = sight.rows(&self.lsm, key, after.map(Position::at), limit)?;
        rows.extend(recent.into_iter().filter(|row| after.is_none_or(|after| row.position > *after)));
        rows.sort_by(|a, b| a.position.cmp(&b.position));
        rows.dedup_by(|a, b| a.position == b.position); // while it is flushed, a row is in both
        rows.truncate(limit);
        Ok(rows)
    }
}

/// The record and its snapshot as one view.
pub(super) fn whole_view(store: &Store, memory: &mut Memory, slot: u32) -> Result<View, Error> {
    let known = memory.cache.slot(slot);
    let snapshot = match &known.record.closed {
        None => None,
        Some(_) => {
            let value = memory.get(&store.lsm, Table::Snapshots, known.key.as_bytes())?;
            let value =
                value.ok_or_else(|| Error::Unreadable { what: format!("the snapshot of key `{}`", known.key) })?;
            Some(decode_snapshot(&known.key, &value)?)
        }
    };
    Ok(known.record.view(&store.join, snapshot))
}

fn place(position: &Position) -> (u64, &[u8]) {
    (position.timestamp, position.id.as_bytes())
}

pub(super) fn decode_snapshot(key: &str, value: &[u8]) -> Result<Snapshot, Error> {
    postcard::from_bytes(value).map_err(|_| Error::Unreadable { what: format!("the snapshot of key `{key}`") })
}
