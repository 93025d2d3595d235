//! What fuzz targets reach for, and nobody else: the store's own reading of bytes.

use millpond_core::Position;

use crate::keys;
use crate::op::{Op, read_op, write_erase, write_put, write_row, write_view};
use crate::record::Record;

/// Reads operations up to the end and writes them again; `None` if they are none.
#[must_use]
pub fn operations_again(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (op, rest) = read_op(bytes).ok()?;
        match op {
            Op::Row(row) => write_row(&mut out, row),
            Op::View { key, record } => write_view(&mut out, key, &record),
            Op::Erase { key, at } => write_erase(&mut out, key, at),
            Op::Put { table, key, value } => write_put(&mut out, table, key, value),
        }
        bytes = rest;
    }
    Some(out)
}

/// Reads a record and writes it again; `None` if it is none.
#[must_use]
pub fn record_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    Record::decode(bytes).ok()?.encode_into(&mut out);
    Some(out)
}

/// The key of a row.
#[must_use]
pub fn row_key(key: &str, position: &Position) -> Vec<u8> {
    keys::row_key(key.as_bytes(), position.at())
}

/// Takes a row's key apart.
#[must_use]
pub fn row_key_parts(bytes: &[u8]) -> Option<(String, Position)> {
    keys::parse_row_key(bytes).map(|(key, position)| (key.to_owned(), position))
}

/// What all rows of a key begin with, and what comes after them.
#[must_use]
pub fn row_bounds(key: &str) -> (Vec<u8>, Vec<u8>) {
    (keys::row_prefix(key), keys::after_rows(key))
}
