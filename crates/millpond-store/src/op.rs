//! What a commit of the log holds: operations, one after the other.
//!
//! Rows are laid out by hand, because they are read in place wherever they lie in memory; what is
//! rare is written with postcard.

use millpond_core::At;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// Tables beside `events` and `views`, small enough to be held as maps until a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Table {
    /// Key -> snapshot.
    Snapshots,
    /// (key, position) -> late event, or the mark that it was accepted.
    Late,
    /// Hash of the bytes -> what could not be joined.
    Quarantine,
    /// Counters, inputs read, and how far the log is flushed.
    Meta,
}

impl Table {
    pub(crate) const ALL: [Self; 4] = [Self::Snapshots, Self::Late, Self::Quarantine, Self::Meta];
}

/// One operation of a commit.
#[derive(Debug)]
pub(crate) enum Op<'a> {
    /// An accepted event: folded on replay.
    Row(RowRef<'a>),
    /// A whole record, as a snapshot, a trim or an accepted late event leaves it.
    View { key: &'a str, record: Box<Record> },
    /// A value of a table, or its removal.
    Put { table: Table, key: &'a [u8], value: Option<&'a [u8]> },
}

/// A row where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef<'a> {
    pub(crate) key: &'a str,
    pub(crate) at: At<'a>,
    pub(crate) put_at: u64,
    pub(crate) body: &'a str,
}

const TAG_ROW: u8 = 1;
const TAG_VIEW: u8 = 2;
const TAG_PUT: u8 = 3;

/// tag, key length u16, id length u16, body length u32, timestamp u64, `put_at` u64; little-endian.
const ROW_HEADER: usize = 1 + 2 + 2 + 4 + 8 + 8;

/// Bytes that are no operation: damage that the checksum did not see, or another version's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

pub(crate) fn write_row(out: &mut Vec<u8>, row: RowRef<'_>) {
    // Lengths are bounded when the event is read: 1,024, 512 and 390 K bytes.
    out.reserve(ROW_HEADER + row.key.len() + row.at.id.len() + row.body.len());
    out.push(TAG_ROW);
    out.extend_from_slice(&(row.key.len() as u16).to_le_bytes());
    out.extend_from_slice(&(row.at.id.len() as u16).to_le_bytes());
    out.extend_from_slice(&(row.body.len() as u32).to_le_bytes());
    out.extend_from_slice(&row.at.timestamp.to_le_bytes());
    out.extend_from_slice(&row.put_at.to_le_bytes());
    out.extend_from_slice(row.key.as_bytes());
    out.extend_from_slice(row.at.id.as_bytes());
    out.extend_from_slice(row.body.as_bytes());
}

/// Reads the row at the start of `bytes`, and what follows it.
pub(crate) fn read_row(bytes: &[u8]) -> Result<(RowRef<'_>, &[u8]), Unreadable> {
    let (header, rest) = bytes.split_first_chunk::<ROW_HEADER>().ok_or(Unreadable)?;
    let key_len = usize::from(u16::from_le_bytes([header[1], header[2]]));
    let id_len = usize::from(u16::from_le_bytes([header[3], header[4]]));
    let body_len = u32::from_le_bytes([header[5], header[6], header[7], header[8]]) as usize;
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let (text, rest) = rest.split_at_checked(key_len + id_len + body_len).ok_or(Unreadable)?;
    let part = |from: usize, to: usize| std::str::from_utf8(&text[from..to]).map_err(|_| Unreadable);
    let row = RowRef {
        key: part(0, key_len)?,
        at: At { timestamp: number(9), id: part(key_len, key_len + id_len)? },
        put_at: number(17),
        body: part(key_len + id_len, text.len())?,
    };
    Ok((row, rest))
}

pub(crate) fn write_view(out: &mut Vec<u8>, key: &str, record: &Record) {
    write(out, TAG_VIEW, &(key, record));
}

pub(crate) fn write_put(out: &mut Vec<u8>, table: Table, key: &[u8], value: Option<&[u8]>) {
    write(out, TAG_PUT, &(table, key, value));
}

fn write(out: &mut Vec<u8>, tag: u8, value: &impl Serialize) {
    out.push(tag);
    let buffer = std::mem::take(out);
    *out = postcard::to_extend(value, buffer).expect("an operation always has bytes: it is plain data");
}

/// Reads the operation at the start of `bytes`, and what follows it.
pub(crate) fn read_op(bytes: &[u8]) -> Result<(Op<'_>, &[u8]), Unreadable> {
    let (tag, rest) = bytes.split_first().ok_or(Unreadable)?;
    match *tag {
        TAG_ROW => read_row(bytes).map(|(row, rest)| (Op::Row(row), rest)),
        TAG_VIEW => {
            let ((key, record), rest) = postcard::take_from_bytes(rest).map_err(|_| Unreadable)?;
            Ok((Op::View { key, record }, rest))
        }
        TAG_PUT => {
            let ((table, key, value), rest) = postcard::take_from_bytes(rest).map_err(|_| Unreadable)?;
            Ok((Op::Put { table, key, value }, rest))
        }
        _ => Err(Unreadable),
    }
}
