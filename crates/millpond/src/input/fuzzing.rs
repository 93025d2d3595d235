//! What fuzz targets reach for: all items of an input, read with sizes that no user has.

use std::io::{self, Read};

use super::{Limits, Reader};

/// How an input arrives, and how much of it is held.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// The most bytes of a read.
    pub step: usize,
    /// The most items of a batch.
    pub items_max: usize,
    /// What is asked of the source at once.
    pub read_bytes: usize,
    /// A batch that holds this much is delivered.
    pub batch_bytes: usize,
}

/// An item that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it starts.
    pub offset: u64,
    /// The line on which it starts.
    pub line: u64,
    /// Why it cannot be an event.
    pub flaw: Option<String>,
}

struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(space.len()).min(self.0.len());
        let (now, rest) = self.0.split_at(count);
        space[..count].copy_from_slice(now);
        self.0 = rest;
        Ok(count)
    }
}

/// All items of an input.
///
/// # Panics
/// If a batch holds more than it may.
#[must_use]
pub fn items(input: &[u8], sizes: Sizes) -> Vec<Item> {
    let limits = Limits { read_bytes: sizes.read_bytes, batch_bytes: sizes.batch_bytes, ..Limits::default() };
    let mut reader = Reader::with_limits(Trickle(input, sizes.step), limits);
    let mut items = Vec::new();
    loop {
        let batch = reader.next_batch(sizes.items_max).expect("a slice never fails");
        assert!(batch.iter().len() <= sizes.items_max);
        items.extend(batch.iter().map(|item| Item {
            bytes: item.bytes.to_vec(),
            offset: item.offset,
            line: item.line,
            flaw: item.flaw.map(|flaw| flaw.to_string()),
        }));
        if batch.is_empty() {
            assert_eq!(batch.digest(), xxhash_rust::xxh3::xxh3_128(input), "the digest of what was delivered");
            return items;
        }
    }
}
