//! Event files for `millpond run`: a byte stream in, batches of item slices out, with bounded memory.
//!
//! An input that begins with `[` is a JSON array whose elements are the items; otherwise each line
//! is one (NDJSON). Only the items' borders are found here: what is between them is parsed later,
//! item by item, so that one broken item costs no other. A piece that cannot be an item is delivered
//! as well, with its [`Flaw`]: every byte that is not a separator is accounted for.

mod batch;
mod flaw;
#[cfg(fuzzing)]
pub mod fuzzing;
mod nested;
mod prefix;
mod reader;
mod split;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use batch::{Batch, Item};
pub(crate) use flaw::Flaw;
pub(crate) use prefix::digest_of_prefix;
pub(crate) use reader::Reader;

/// The longest item that is held whole; longer ones are delivered as [`Flaw::Oversized`].
pub(crate) const ITEM_BYTES_MAX: usize = 16 << 20;

/// How much of an oversized item is kept: enough to recognise it by.
pub(crate) const HEAD_BYTES: usize = 64 << 10;

/// How much is asked of the source at once.
const READ_BYTES: usize = 1 << 20;

/// A batch that holds this much is delivered, however few its items: it stays in the CPU's cache.
const BATCH_BYTES: usize = 4 << 20;

/// The reader's sizes: constants in production, small in tests.
#[derive(Clone, Copy, Debug)]
struct Limits {
    read_bytes: usize,
    batch_bytes: usize,
    item_bytes_max: usize,
    head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read_bytes: READ_BYTES,
            batch_bytes: BATCH_BYTES,
            item_bytes_max: ITEM_BYTES_MAX,
            head_bytes: HEAD_BYTES,
        }
    }
}
