//! Reads the source into one buffer, has it split, and delivers what is complete.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3Default;

use super::prefix::read_some;
use super::split::{Span, Splitter};
use super::{Batch, Limits};

/// Reads a source item by item, in batches, and keeps a digest of what it delivered.
///
/// Memory: a batch or one long item, and one read; at most about twice `ITEM_BYTES_MAX`, since a
/// `Vec` doubles. Beside it an entry for each item of the batch, hence `items_max`.
pub(crate) struct Reader<R> {
    source: R,
    limits: Limits,
    /// The input from offset `base` on, as far as it has been read; beyond `filled`, free space.
    buffer: Vec<u8>,
    filled: usize,
    base: u64,
    ended: bool,
    /// The source failed while a batch was underway: for the next call, after that batch.
    failure: Option<io::Error>,
    splitter: Splitter,
    spans: Vec<Span>,
    /// The first bytes of an oversized item whose start has left the buffer.
    head: Vec<u8>,
    hasher: Xxh3Default,
    hashed: u64,
    offset: u64,
    digest: u128,
}

impl<R: Read> Reader<R> {
    /// A reader from the beginning of an input.
    pub(crate) fn new(source: R) -> Self {
        Self::with_limits(source, Limits::default())
    }

    pub(super) fn with_limits(source: R, limits: Limits) -> Self {
        let hasher = Xxh3Default::new();
        Self {
            source,
            limits,
            buffer: Vec::new(),
            filled: 0,
            base: 0,
            ended: false,
            failure: None,
            splitter: Splitter::default(),
            spans: Vec::new(),
            head: Vec::new(),
            digest: hasher.digest128(),
            hasher,
            hashed: 0,
            offset: 0,
        }
    }

    /// The next items: as many as `items_max` (at least one), fewer where the batch is full or the
    /// input ends. An empty batch is the end of the input.
    ///
    /// # Errors
    ///
    /// The source's own; all that was complete before has been delivered by then.
    pub(crate) fn next_batch(&mut self, items_max: usize) -> io::Result<Batch<'_>> {
        self.batch(items_max, false)
    }

    /// The next items, as soon as there are any: for a source whose next item may be long in coming.
    ///
    /// # Errors
    ///
    /// As [`Reader::next_batch`].
    pub(crate) fn next_ready(&mut self, items_max: usize) -> io::Result<Batch<'_>> {
        self.batch(items_max, true)
    }

    fn batch(&mut self, items_max: usize, some_will_do: bool) -> io::Result<Batch<'_>> {
        self.spans.clear();
        while !self.split(items_max.max(1)) {
            if some_will_do && !self.spans.is_empty() {
                break;
            }
            if let Err(error) = self.fill() {
                if self.spans.is_empty() {
                    return Err(error);
                }
                self.failure = Some(error);
                break;
            }
        }
        self.hash_to(self.offset);
        self.digest = self.hasher.digest128();
        Ok(Batch {
            spans: &self.spans,
            buffer: &self.buffer[..self.filled],
            base: self.base,
            head: &self.head,
            limits: self.limits,
            end_offset: self.offset,
            digest: self.digest,
        })
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.len() + self.head.len()
    }

    /// Takes items out of the buffer; whether the batch is complete.
    fn split(&mut self, items_max: usize) -> bool {
        while self.spans.len() < items_max {
            let fresh = &self.buffer[self.index(self.splitter.at())..self.filled];
            let Some(span) = self.splitter.next(fresh) else {
                break;
            };
            self.deliver(span);
        }
        if self.spans.len() == items_max {
            return true;
        }
        if self.ended {
            if let Some(span) = self.splitter.finish() {
                self.deliver(span);
            }
            self.offset = self.splitter.at();
            return true;
        }
        let held = |first: &Span| self.splitter.at() - first.start;
        self.spans.first().is_some_and(|first| held(first) >= self.limits.batch_bytes as u64)
    }

    fn deliver(&mut self, span: Span) {
        self.spans.push(span);
        self.offset = self.splitter.at();
    }

    fn fill(&mut self) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.make_room();
        let space = &mut self.buffer[self.filled..][..self.limits.read_bytes];
        let count = read_some(&mut self.source, space)?;
        self.filled += count;
        self.ended = count == 0;
        Ok(())
    }

    /// Drops what no item needs any more and makes space for one read.
    fn make_room(&mut self) {
        let needed = self.needed_from();
        self.hash_to(needed);
        let dropped = self.index(needed);
        self.buffer.copy_within(dropped..self.filled, 0);
        self.filled -= dropped;
        self.base = needed;
        let size = self.filled + self.limits.read_bytes;
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
    }

    /// The offset before which the buffer may be dropped. Of an open item that is oversized already
    /// only the head is put aside. Everything is split when this is called.
    fn needed_from(&mut self) -> u64 {
        let at = self.splitter.at();
        if let Some(first) = self.spans.first() {
            return first.start.max(self.base);
        }
        match self.splitter.open_since() {
            Some(start) if start < self.base => at,
            Some(start) if at - start > self.limits.item_bytes_max as u64 => {
                let head = &self.buffer[self.index(start)..][..self.limits.head_bytes];
                self.head.clear();
                self.head.extend_from_slice(head);
                at
            }
            Some(start) => start,
            None => at,
        }
    }

    fn hash_to(&mut self, offset: u64) {
        if offset > self.hashed {
            self.hasher.update(&self.buffer[self.index(self.hashed)..self.index(offset)]);
            self.hashed = offset;
        }
    }

    /// Where the byte at `offset`, which is not before `base`, is in the buffer.
    fn index(&self, offset: u64) -> usize {
        (offset - self.base) as usize
    }
}
