//! Records of recently used keys, bounded in bytes. What is not flushed yet stays; of the rest,
//! what was not used since the hand last passed goes first (CLOCK).

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::memtable::NO_ROW;
use crate::record::Record;

/// Index of a slot.
pub(crate) type SlotIndex = u32;

/// A key in memory.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: Box<str>,
    pub(crate) record: Record,
    /// The record's commit when it was loaded: replay has nothing to add up to there.
    pub(crate) loaded_commit: u64,
    /// Newest row in the filling memtable and in the frozen one.
    pub(crate) heads: [u32; 2],
    /// Changed since the last freeze.
    pub(crate) dirty: bool,
    /// Being flushed.
    pub(crate) frozen: bool,
    /// Rows in the LSM are to be deleted with the next flush.
    pub(crate) trim: bool,
    used: bool,
    hash: u64,
    /// What the account holds for this slot.
    pub(crate) bytes: usize,
}

/// The slots.
#[derive(Debug)]
pub(crate) struct Cache {
    slots: Vec<Option<Slot>>,
    free: Vec<SlotIndex>,
    index: HashTable<SlotIndex>,
    hasher: RandomState,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

/// Slots that an insertion looks at for one to let go.
const STEPS_AN_INSERTION: usize = 16;

/// What a slot takes beside its record and key.
const SLOT_BYTES: usize = size_of::<Slot>() - size_of::<Record>() + 16;

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            hand: 0,
            bytes: 0,
            bytes_max,
        }
    }

    pub(crate) fn find(&mut self, key: &str) -> Option<SlotIndex> {
        let Self { slots, index, hasher, .. } = self;
        let hash = hasher.hash_one(key);
        let same = |slot: &SlotIndex| slots[*slot as usize].as_ref().is_some_and(|slot| *slot.key == *key);
        let found = *index.find(hash, same)?;
        if let Some(slot) = &mut slots[found as usize] {
            slot.used = true;
        }
        Some(found)
    }

    /// Adds a key that is not here; others may have to go.
    pub(crate) fn insert(&mut self, key: &str, record: Record) -> SlotIndex {
        self.make_room();
        let hash = self.hasher.hash_one(key);
        let bytes = SLOT_BYTES + key.len() + record.bytes();
        self.bytes += bytes;
        let slot = Slot {
            key: key.into(),
            loaded_commit: record.commit,
            record,
            heads: [NO_ROW; 2],
            dirty: false,
            frozen: false,
            trim: false,
            used: true,
            hash,
            bytes,
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as SlotIndex
        });
        self.slots[place as usize] = Some(slot);
        let Self { slots, index, .. } = self;
        index.insert_unique(hash, place, |slot| slots[*slot as usize].as_ref().map_or(0, |slot| slot.hash));
        place
    }

    /// The slot, which must be there: indexes are only held while nothing can be evicted.
    pub(crate) fn slot(&self, index: SlotIndex) -> &Slot {
        self.slots[index as usize].as_ref().expect("a held slot is not evicted")
    }

    /// As [`Cache::slot`], to change it.
    pub(crate) fn slot_mut(&mut self, index: SlotIndex) -> &mut Slot {
        self.slots[index as usize].as_mut().expect("a held slot is not evicted")
    }

    /// The newest commit that a record had when it was loaded.
    pub(crate) fn loaded_commit(&self) -> u64 {
        self.slots.iter().flatten().map(|slot| slot.loaded_commit).max().unwrap_or(0)
    }

    /// Lets a key go that has nothing unflushed.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(place) = self.find(key) {
            self.let_go(place);
        }
    }

    /// Puts the account right for a record that has changed.
    pub(crate) fn reaccount(&mut self, index: SlotIndex) {
        let slot = self.slot_mut(index);
        let bytes = SLOT_BYTES + slot.key.len() + slot.record.bytes();
        let before = std::mem::replace(&mut slot.bytes, bytes);
        self.bytes = self.bytes + bytes - before;
    }

    /// Whether it holds more than it should: what is not flushed cannot go.
    fn is_full(&self) -> bool {
        self.bytes > self.bytes_max
    }

    fn make_room(&mut self) {
        // A few steps an insertion: where most slots are not flushed yet, looking for the others
        // would cost more than it frees.
        for _ in 0..STEPS_AN_INSERTION {
            if !self.is_full() || self.slots.is_empty() {
                return;
            }
            self.hand = (self.hand + 1) % self.slots.len();
            self.pass_hand();
        }
    }

    fn pass_hand(&mut self) {
        let Some(slot) = &mut self.slots[self.hand] else { return };
        if slot.dirty || slot.frozen || slot.trim {
            return;
        }
        if std::mem::take(&mut slot.used) {
            return;
        }
        self.let_go(self.hand as SlotIndex);
    }

    fn let_go(&mut self, place: SlotIndex) {
        let Some(slot) = self.slots[place as usize].take() else { return };
        if let Ok(entry) = self.index.find_entry(slot.hash, |slot| *slot == place) {
            entry.remove();
        }
        self.free.push(place);
        self.bytes -= slot.bytes;
    }
}
