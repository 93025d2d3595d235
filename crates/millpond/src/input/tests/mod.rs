//! The reader, examined through one `check`: an input, and all its items as text.

mod borders;
mod reading;

use std::io::{self, Read};

use super::reader::Reader;
use super::{Item, Limits};

/// Hands out at most `step` bytes a read, as a pipe may.
struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(space.len()).min(self.rest.len());
        let (now, rest) = self.rest.split_at(count);
        space[..count].copy_from_slice(now);
        self.rest = rest;
        Ok(count)
    }
}

/// Reads all of `input` and hands on each item.
fn each_item(input: &[u8], step: usize, items_max: usize, limits: Limits, mut then: impl FnMut(Item)) {
    let mut reader = Reader::with_limits(Trickle { rest: input, step }, limits);
    loop {
        let batch = reader.next_batch(items_max).expect("a slice never fails");
        assert!(batch.iter().len() <= items_max);
        batch.iter().for_each(&mut then);
        if batch.is_empty() {
            break;
        }
    }
}

/// Every item as `LINE@OFFSET BYTES`, with ` ! FLAW` where there is one.
fn items(input: &[u8], step: usize, items_max: usize, limits: Limits) -> Vec<String> {
    let mut shown = Vec::new();
    each_item(input, step, items_max, limits, |item| {
        let mut text = format!("{}@{} {}", item.line, item.offset, String::from_utf8_lossy(item.bytes));
        if let Some(flaw) = item.flaw {
            text += &format!(" ! {flaw}");
        }
        shown.push(text);
    });
    shown
}

const LIMITS: [Limits; 2] = [
    Limits { read_bytes: 1 << 10, batch_bytes: 1 << 10, item_bytes_max: 1 << 10, head_bytes: 8 },
    Limits { read_bytes: 5, batch_bytes: 9, item_bytes_max: 1 << 10, head_bytes: 8 },
];

/// The items are `expected`, however the input arrives and is asked for.
fn check(input: &str, expected: &[&str]) {
    check_within(&LIMITS, input, expected);
}

fn check_within(limits: &[Limits], input: &str, expected: &[&str]) {
    for &limits in limits {
        for step in [1, 2, 3, 4, 5, 6, 7, 63, 64, 65, 1 << 10] {
            for items_max in [1, 2, 1 << 10] {
                let found = items(input.as_bytes(), step, items_max, limits);
                assert_eq!(found, expected, "{input:?} by {step} and {items_max} with {limits:?}");
            }
        }
    }
}

/// A repeatable stream of numbers (xorshift64) for the random inputs.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// Up to `pieces_max` of `pieces` in a row.
    pub(super) fn text(&mut self, pieces: &[&str], pieces_max: usize) -> String {
        (0..self.below(pieces_max + 1)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}
