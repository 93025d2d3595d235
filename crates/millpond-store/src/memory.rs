//! What one lock guards: cache, memtables, counters, and how far all of it is durable.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use millpond_core::state::STATE_BYTES_WARN;
use millpond_core::{At, Join, store::Row};

use crate::activity::Activity;
use crate::cache::{Cache, SlotIndex};
use crate::counters::Counters;
use crate::duplicates::Duplicates;
use crate::error::Error;
use crate::flush::{Frozen, FrozenKey, Records};
use crate::lsm::Lsm;
use crate::memtable::{Memtable, NO_ROW};
use crate::op::{Op, RowRef, Table, read_op, text};
use crate::record::Record;
use crate::store::{COMPACTION_OWED, Erasures};
use crate::sync::Arc;

/// Key of the counters in [`Table::Meta`].
pub(crate) const COUNTERS: &[u8] = b"counters";
/// Key of the last flushed commit in [`Table::Meta`].
pub(crate) const FLUSHED: &[u8] = b"flushed";
/// Key of the newest commit in [`Table::Meta`] that a record in the tables has: it may be newer than all flushed rows.
pub(crate) const RECORDED: &[u8] = b"recorded";

/// Large states that are named; more would only repeat the warning.
const LARGE_SHOWN_MAX: usize = 10;

pub(crate) struct Memory {
    pub(crate) cache: Cache,
    pub(crate) active: Memtable,
    pub(crate) frozen: Option<Arc<Frozen>>,
    /// Slots changed since the last freeze.
    pub(crate) dirty: Vec<SlotIndex>,
    /// Their keys in order, as far as a list has asked for it; and those that are being flushed.
    pub(crate) fresh: Fresh,
    pub(crate) fresh_frozen: Fresh,
    /// Bytes of their records when they were first changed.
    pub(crate) dirty_bytes: usize,
    pub(crate) counters: Counters,
    pub(crate) activity: Activity,
    /// The newest repeats.
    pub(crate) duplicates: Duplicates,
    /// Counters and activity as they were before the commit that is under way.
    counted: Option<(Counters, Activity)>,
    /// Whether something was counted since the last commit.
    pub(crate) uncounted: bool,
    /// The last commit that is on disk.
    pub(crate) durable: u64,
    /// The last commit whose rows are in the tables.
    pub(crate) flushed: u64,
    /// Why nothing is done any more.
    pub(crate) stopped: Option<String>,
    /// Some keys whose states have grown large, with their bytes.
    pub(crate) large: BTreeMap<Box<str>, usize>,
    /// Keys whose tails have grown long.
    pub(crate) due: Vec<Box<str>>,
    /// Keys that were erased lately.
    pub(crate) erasures: Erasures,
    /// The time of the last erasure.
    pub(crate) erased_at: u64,
    /// The last erasure, for as long as its bytes may be on the disk.
    pub(crate) compaction_owed: Option<u64>,
    /// An erasure that a crash broke off: commit, key and time.
    pub(crate) erasing: Option<(u64, Box<str>, u64)>,
    /// While rebuilding: hashes of erased keys, and up to when their events are not joined again.
    pub(crate) erased: BTreeMap<u128, u64>,
}

/// Keys whose records are not flushed, in order: made only when somebody lists views.
#[derive(Default)]
pub(crate) struct Fresh {
    keys: BTreeSet<Box<str>>,
    /// Changed slots that were taken in.
    seen: usize,
    /// All changed slots, once no more are added.
    slots: Vec<SlotIndex>,
}

impl Fresh {
    /// Takes in up to `limit` of `slots`; whether that was all.
    fn catch_up(&mut self, slots: &[SlotIndex], cache: &Cache, limit: usize) -> bool {
        for slot in slots[self.seen..].iter().take(limit) {
            self.keys.insert(cache.slot(*slot).key.clone());
            self.seen += 1;
        }
        self.seen == slots.len()
    }

    fn range(&self, after: Bound<&str>) -> impl Iterator<Item = &str> {
        self.keys.range::<str, _>((after, Bound::Unbounded)).map(|key| &**key)
    }
}

impl Memory {
    /// Brings the order of fresh keys up to date by a bounded step; whether it is.
    pub(crate) fn order_fresh(&mut self, limit: usize) -> bool {
        let Self { fresh, fresh_frozen, dirty, cache, .. } = self;
        let slots = std::mem::take(&mut fresh_frozen.slots);
        let frozen = fresh_frozen.catch_up(&slots, cache, limit);
        fresh_frozen.slots = slots;
        fresh.catch_up(dirty, cache, limit) && frozen
    }

    /// The first fresh keys of a range, in order; some may come twice.
    pub(crate) fn fresh_keys(&self, after: Bound<&str>, prefix: &str, limit: usize) -> Vec<Box<str>> {
        let take = |fresh: &Fresh| -> Vec<Box<str>> {
            fresh.range(after).take_while(|key| key.starts_with(prefix)).take(limit).map(Box::from).collect()
        };
        let mut keys = take(&self.fresh);
        keys.extend(take(&self.fresh_frozen));
        keys.sort_unstable();
        keys
    }

    pub(crate) fn new(cache_bytes: usize, duplicates_bytes: usize) -> Self {
        Self {
            cache: Cache::new(cache_bytes),
            active: Memtable::default(),
            frozen: None,
            dirty: Vec::new(),
            fresh: Fresh::default(),
            fresh_frozen: Fresh::default(),
            dirty_bytes: 0,
            counters: Counters::default(),
            activity: Activity::default(),
            duplicates: Duplicates::new(duplicates_bytes),
            counted: None,
            uncounted: false,
            durable: 0,
            flushed: 0,
            stopped: None,
            large: BTreeMap::new(),
            due: Vec::new(),
            erasures: Erasures::default(),
            erased_at: 0,
            compaction_owed: None,
            erasing: None,
            erased: BTreeMap::new(),
        }
    }

    /// A commit begins: until it has ended, what it counts is seen by nobody.
    pub(crate) fn begin_counting(&mut self) {
        self.counted = Some((self.counters.clone(), self.activity));
    }

    /// What was counted since stands.
    pub(crate) fn keep_counts(&mut self) {
        self.counted = None;
        self.duplicates.settle();
    }

    /// What was counted since does not: it will be counted when it is given again.
    pub(crate) fn undo_counts(&mut self) {
        if let Some((counters, activity)) = self.counted.take() {
            (self.counters, self.activity) = (counters, activity);
        }
        self.duplicates.undo();
    }

    /// What durable commits have counted.
    pub(crate) fn counted(&self) -> (&Counters, Activity) {
        self.counted.as_ref().map_or((&self.counters, self.activity), |(counters, activity)| (counters, *activity))
    }

    /// The key's slot, loaded if need be; a key without a view gets an empty record.
    pub(crate) fn slot_of(&mut self, join: &Join, lsm: &Lsm, key: &str) -> Result<SlotIndex, Error> {
        if let Some(found) = self.cache.find(key) {
            return Ok(found);
        }
        let record = lsm.record(key)?.unwrap_or_else(|| Record::empty(join));
        Ok(self.cache.insert(key, record))
    }

    /// As [`Memory::slot_of`], but `None` for a key without a view.
    pub(crate) fn known_slot(&mut self, lsm: &Lsm, key: &str) -> Result<Option<SlotIndex>, Error> {
        if let Some(found) = self.cache.find(key) {
            return Ok(Some(found).filter(|slot| self.cache.slot(*slot).record.events > 0));
        }
        Ok(lsm.record(key)?.map(|record| self.cache.insert(key, record)))
    }

    pub(crate) fn touch(&mut self, slot: SlotIndex) {
        let known = self.cache.slot_mut(slot);
        if !known.dirty {
            known.dirty = true;
            self.dirty_bytes += known.bytes;
            self.dirty.push(slot);
        }
    }

    /// A stored row that nobody has trimmed.
    pub(crate) fn row(&self, lsm: &Lsm, slot: SlotIndex, at: At<'_>) -> Result<Option<Row>, Error> {
        let slot = self.cache.slot(slot);
        if slot.record.trimmed_to.as_ref().is_some_and(|trimmed_to| at <= trimmed_to.at()) {
            return Ok(None);
        }
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.memtable.find(&slot.key, at));
        match self.active.find(&slot.key, at).or_else(frozen) {
            Some(row) => row.to_row().map(Some).map_err(|_| unreadable(&slot.key)),
            None => lsm.row(&slot.key, at),
        }
    }

    /// The rows of a key in memory, in no order.
    pub(crate) fn rows_in_memory(&self, slot: SlotIndex) -> Result<Vec<Row>, Error> {
        let rows = self.refs_in_memory(slot).map(RowRef::to_row).collect::<Result<_, _>>();
        rows.map_err(|_| unreadable(&self.cache.slot(slot).key))
    }

    /// Of the rows of a key in memory that are `wanted`, the `limit` that `order` puts first; in no order
    /// themselves. Only these are copied.
    pub(crate) fn first_in_memory(
        &self,
        slot: SlotIndex,
        limit: usize,
        wanted: impl Fn((u64, &[u8])) -> bool,
        order: impl Fn((u64, &[u8]), (u64, &[u8])) -> Ordering,
    ) -> Result<Vec<Row>, Error> {
        let mut rows: Vec<RowRef<'_>> = self.refs_in_memory(slot).filter(|row| wanted(row.place())).collect();
        if rows.len() > limit {
            rows.select_nth_unstable_by(limit, |a, b| order(a.place(), b.place()));
            rows.truncate(limit);
        }
        let rows = rows.into_iter().map(RowRef::to_row).collect::<Result<_, _>>();
        rows.map_err(|_| unreadable(&self.cache.slot(slot).key))
    }

    /// The rows of a key in memory, those that came last first.
    pub(crate) fn refs_in_memory(&self, slot: SlotIndex) -> impl Iterator<Item = RowRef<'_>> {
        let [active, frozen] = self.cache.slot(slot).heads;
        let older = self.frozen.iter().flat_map(move |older| older.memtable.chain(frozen));
        self.active.chain(active).chain(older)
    }

    /// A value of a small table.
    pub(crate) fn get(&self, lsm: &Lsm, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.memtable.get(table, key));
        match self.active.get(table, key).or_else(frozen) {
            Some(value) => Ok(value.clone()),
            None => lsm.get(table, key),
        }
    }

    /// Takes in a commit of the log that is not, or not wholly, in the tables.
    pub(crate) fn replay(&mut self, join: &Join, lsm: &Lsm, commit: u64, payload: &[u8]) -> Result<(), Error> {
        let base = self.active.arena.len();
        self.active.arena.extend_from_slice(payload);
        let unreadable = || Error::Unreadable { what: format!("an operation of commit {commit} in the log") };
        let mut rest = payload;
        while !rest.is_empty() {
            let offset = base + payload.len() - rest.len();
            let (op, after) = read_op(rest).map_err(|_| unreadable())?;
            match op {
                Op::Row(row) => self.replay_row(join, lsm, commit, offset, row)?,
                Op::View { key, record } => {
                    let slot = self.slot_of(join, lsm, key)?;
                    let known = self.cache.slot_mut(slot);
                    if commit > known.loaded_commit {
                        known.record = *record;
                    }
                    known.trim |= known.record.trimmed_to.is_some();
                    self.touch(slot);
                }
                Op::Put { table: Table::Meta, key: COUNTERS, value: Some(value) } => {
                    self.counters = postcard::from_bytes(value).map_err(|_| unreadable())?;
                    self.active.put(Table::Meta, COUNTERS, Some(value));
                }
                Op::Erase { key, at } => self.erasing = Some((commit, key.into(), at)),
                Op::Put { table, key, value } => {
                    if (table, key) == (Table::Meta, COMPACTION_OWED) {
                        self.compaction_owed = None;
                    }
                    self.active.put(table, key, value);
                }
            }
            rest = after;
        }
        self.active.last_commit = commit;
        self.durable = commit;
        Ok(())
    }

    fn replay_row(&mut self, join: &Join, lsm: &Lsm, commit: u64, offset: usize, row: RowRef<'_>) -> Result<(), Error> {
        let damaged = |_| Error::Unreadable { what: format!("a row of commit {commit} in the log") };
        let (key, at) = (text(row.key).map_err(damaged)?, row.at().map_err(damaged)?);
        let slot = self.slot_of(join, lsm, key)?;
        let known = self.cache.slot_mut(slot);
        if commit > known.loaded_commit {
            let event = millpond_core::Event::read(join, row.body).map_err(|source| Error::Row {
                key: key.into(),
                position: at.to_position(),
                source,
            })?;
            if let Some(kind) = join.type_index(&event.kind) {
                known.record.state.fold(join, kind, &event);
            }
            known.record.count(at, row.put_at, commit);
        }
        known.heads[0] = self.active.push(offset, known.heads[0], key, at);
        self.touch(slot);
        Ok(())
    }

    /// Freezes the memtable, all of which must be durable. It touches every changed slot, so it
    /// does little with each: their records are encoded later, a few at a time.
    pub(crate) fn freeze(&mut self) -> Arc<Frozen> {
        let next = self.active.successor();
        let mut memtable = std::mem::replace(&mut self.active, next);
        let flushed = postcard::to_stdvec(&memtable.last_commit).expect("a number always has bytes");
        memtable.put(Table::Meta, FLUSHED, Some(&flushed));
        self.dirty_bytes = 0;
        self.fresh_frozen = std::mem::take(&mut self.fresh);
        self.fresh_frozen.slots = std::mem::take(&mut self.dirty);
        let mut keys = Vec::with_capacity(self.fresh_frozen.slots.len());
        for slot in self.fresh_frozen.slots.iter().copied() {
            let known = self.cache.slot_mut(slot);
            known.dirty = false;
            known.frozen = true;
            known.heads = [NO_ROW, known.heads[0]];
            let trimmed_to = if std::mem::take(&mut known.trim) { known.record.trimmed_to.clone() } else { None };
            keys.push(FrozenKey { slot, head: known.heads[1], trimmed_to });
        }
        let frozen = Arc::new(Frozen { memtable, keys });
        self.frozen = Some(Arc::clone(&frozen));
        frozen
    }

    /// Takes down the records of some frozen keys as they are now, perhaps newer than the frozen
    /// rows: replay knows by a record's commit what is in it. Stops before one that is not durable yet; whether it took
    /// down all.
    pub(crate) fn take_down(&mut self, keys: &[FrozenKey], records: &mut Records) -> bool {
        for frozen in keys {
            let known = self.cache.slot(frozen.slot);
            if known.record.commit > self.durable {
                return false;
            }
            let bytes = known.record.state.bytes();
            if bytes > STATE_BYTES_WARN && self.large.len() < LARGE_SHOWN_MAX {
                self.large.insert(known.key.clone(), bytes);
            }
            records.add(&known.key, known.record.commit, |out| known.record.encode_into(out));
            self.cache.reaccount(frozen.slot);
        }
        true
    }

    /// Forgets the frozen memtable, whose content the tables hold now.
    pub(crate) fn thaw(&mut self, frozen: &Frozen) {
        for slot in frozen.slots() {
            let known = self.cache.slot_mut(slot);
            known.frozen = false;
            known.heads[1] = NO_ROW;
        }
        self.flushed = frozen.memtable.last_commit;
        self.frozen = None;
        self.fresh_frozen = Fresh::default();
    }
}

fn unreadable(key: &str) -> Error {
    Error::Unreadable { what: format!("a recent row of key `{key}`") }
}

impl Record {
    /// Takes note of a row that was folded.
    pub(crate) fn count(&mut self, at: At<'_>, put_at: u64, commit: u64) {
        self.events += 1;
        self.oldest_put = self.oldest_put.min(put_at);
        (self.commit, self.changed) = (commit, commit);
        if at > self.folded_to.at() {
            self.folded_to = at.to_position();
        }
    }
}
