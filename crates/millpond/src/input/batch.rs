//! What a reader delivers: items as slices of its buffer.

use super::Limits;
use super::flaw::Flaw;
use super::split::{Span, is_space};

/// One item, or a piece of the input that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// The item without the white space around it; the head alone if it is oversized.
    pub(crate) bytes: &'a [u8],
    /// Where it starts, in bytes from the beginning of the input.
    pub(crate) offset: u64,
    /// The line on which it starts; the first is 1.
    pub(crate) line: u64,
    /// Why it cannot be an event.
    pub(crate) flaw: Option<Flaw>,
}

/// Some items in a row; none at the end of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    pub(super) spans: &'a [Span],
    /// The input from offset `base` on.
    pub(super) buffer: &'a [u8],
    pub(super) base: u64,
    /// The head of an item that starts before `base`.
    pub(super) head: &'a [u8],
    pub(super) limits: Limits,
    pub(super) end_offset: u64,
    pub(super) digest: u128,
}

impl<'a> Batch<'a> {
    /// Whether the input is at its end.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Every item that starts before this offset has now been delivered, and none after it. It is
    /// the end of the last item, or of the input.
    pub(crate) fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// xxh3-128 of the input up to [`Batch::end_offset`].
    pub(crate) fn digest(&self) -> u128 {
        self.digest
    }

    /// The items, as the input has them.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Item<'a>> + use<'a> {
        let batch = *self;
        self.spans.iter().map(move |span| batch.item(span))
    }

    fn item(&self, span: &Span) -> Item<'a> {
        let length = span.end - span.start;
        let (bytes, flaw) = if length > self.limits.item_bytes_max as u64 {
            (self.head_of(span), Some(Flaw::Oversized { length }))
        } else {
            let start = (span.start - self.base) as usize;
            (without_space_at_end(&self.buffer[start..start + length as usize]), span.flaw)
        };
        Item { bytes, offset: span.start, line: span.line, flaw }
    }

    fn head_of(&self, span: &Span) -> &'a [u8] {
        match span.start.checked_sub(self.base) {
            Some(start) => &self.buffer[start as usize..][..self.limits.head_bytes],
            None => self.head,
        }
    }
}

fn without_space_at_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}
