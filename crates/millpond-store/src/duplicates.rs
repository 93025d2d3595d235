//! The newest repeats that came: remembered in memory, in so many bytes and no more.

use std::collections::VecDeque;

use millpond_core::{At, Position};

/// A repeat of an event that a key had already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The key.
    pub key: Box<str>,
    /// The event's position.
    pub position: Position,
    /// When the repeat came, in milliseconds since 1970 UTC.
    pub received_at: u64,
}

impl Duplicate {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.position.id.len()
    }
}

/// The newest repeats, the oldest first. Those of a commit that is under way are seen by nobody.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    entries: VecDeque<Duplicate>,
    bytes: usize,
    bytes_max: usize,
    /// How many of the newest entries are not durable yet.
    unsettled: usize,
}

impl Duplicates {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// Remembers a repeat of the commit that is under way; the oldest ones make room.
    pub(crate) fn add(&mut self, key: &str, at: At<'_>, received_at: u64) {
        if self.bytes_max == 0 {
            return;
        }
        let entry = Duplicate { key: key.into(), position: at.to_position(), received_at };
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.unsettled += 1;
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
        self.unsettled = self.unsettled.min(self.entries.len());
    }

    /// The commit is durable.
    pub(crate) fn settle(&mut self) {
        self.unsettled = 0;
    }

    /// The commit never was.
    pub(crate) fn undo(&mut self) {
        for undone in self.entries.drain(self.entries.len() - self.unsettled..) {
            self.bytes -= undone.bytes();
        }
        self.unsettled = 0;
    }

    /// Forgets all of a key.
    pub(crate) fn forget(&mut self, key: &str) {
        self.entries.retain(|entry| *entry.key != *key);
        self.bytes = self.entries.iter().map(Duplicate::bytes).sum();
    }

    /// Of all keys or of one, the newest first.
    pub(crate) fn newest(&self, key: Option<&str>, limit: usize) -> Vec<Duplicate> {
        let settled = self.entries.range(..self.entries.len() - self.unsettled).rev();
        settled.filter(|entry| key.is_none_or(|key| *entry.key == *key)).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(duplicates: &mut Duplicates, key: &str, n: u64) {
        duplicates.add(key, At { timestamp: n, id: "e" }, n);
    }

    fn told(duplicates: &Duplicates, key: Option<&str>) -> Vec<u64> {
        duplicates.newest(key, 9).iter().map(|entry| entry.position.timestamp).collect()
    }

    #[test]
    fn the_oldest_go_and_no_more_bytes_are_held_than_allowed() {
        let one = size_of::<Duplicate>() + "k".len() + "e".len();
        let mut duplicates = Duplicates::new(3 * one);
        for n in 0..100 {
            add(&mut duplicates, "k", n);
            duplicates.settle();
            assert!(duplicates.bytes <= 3 * one);
        }
        assert_eq!(told(&duplicates, None), [99, 98, 97]);
        add(&mut duplicates, &"long".repeat(one), 100);
        duplicates.settle();
        assert!(told(&duplicates, None).is_empty() && duplicates.bytes == 0, "it has no room at all");
        let mut none = Duplicates::new(0);
        add(&mut none, "k", 1);
        none.settle();
        assert!(told(&none, None).is_empty());
    }

    #[test]
    fn what_is_not_durable_is_not_shown() {
        let mut duplicates = Duplicates::new(10_000);
        add(&mut duplicates, "k", 1);
        assert!(told(&duplicates, None).is_empty());
        duplicates.settle();
        add(&mut duplicates, "k", 2);
        add(&mut duplicates, "l", 3);
        assert_eq!(told(&duplicates, None), [1]);
        duplicates.undo();
        assert_eq!(told(&duplicates, None), [1]);
        add(&mut duplicates, "l", 4);
        duplicates.settle();
        assert_eq!((told(&duplicates, None), told(&duplicates, Some("l"))), (vec![4, 1], vec![4]));
        let bytes = duplicates.bytes;
        duplicates.forget("k");
        assert_eq!(told(&duplicates, None), [4]);
        assert!(duplicates.bytes > 0 && duplicates.bytes < bytes);
    }

    /// A commit of more repeats than there is room for.
    #[test]
    fn a_commit_that_fills_everything_is_undone_whole() {
        let one = size_of::<Duplicate>() + "k".len() + "e".len();
        let mut duplicates = Duplicates::new(3 * one);
        for n in 0..10 {
            add(&mut duplicates, "k", n);
        }
        duplicates.undo();
        assert!(told(&duplicates, None).is_empty() && duplicates.bytes == 0);
    }
}
