//! What a commit of the log holds: operations, one after the other.
//!
//! Rows are laid out by hand, because they are read in place wherever they lie in memory; what is
//! rare is written with postcard.

use millpond_core::At;
use millpond_core::store::Row;
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
    /// Everything of a key goes: always the last commit of a log, which is then made empty.
    Erase { key: &'a str, at: u64 },
    /// A value of a table, or its removal.
    Put { table: Table, key: &'a [u8], value: Option<&'a [u8]> },
}

/// A row where it lies. Its texts are bytes here: they were checked when they came, and are only
/// looked at again where a row leaves the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRef<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) timestamp: u64,
    pub(crate) id: &'a [u8],
    pub(crate) put_at: u64,
    pub(crate) body: &'a [u8],
}

impl<'a> RowRef<'a> {
    pub(crate) fn new(key: &'a str, at: At<'a>, put_at: u64, body: &'a str) -> Self {
        Self { key: key.as_bytes(), timestamp: at.timestamp, id: at.id.as_bytes(), put_at, body: body.as_bytes() }
    }

    /// Its place, in the order of positions.
    pub(crate) fn place(&self) -> (u64, &'a [u8]) {
        (self.timestamp, self.id)
    }

    pub(crate) fn at(&self) -> Result<At<'a>, Unreadable> {
        Ok(At { timestamp: self.timestamp, id: text(self.id)? })
    }

    pub(crate) fn to_row(self) -> Result<Row, Unreadable> {
        Ok(Row { position: self.at()?.to_position(), put_at: self.put_at, body: text(self.body)?.into() })
    }
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable)
}

const TAG_ROW: u8 = 1;
const TAG_VIEW: u8 = 2;
const TAG_PUT: u8 = 3;
const TAG_ERASE: u8 = 4;
const TAG_SAME_VIEW: u8 = 5;

/// tag, key length u16, id length u16, body length u32, timestamp u64, `put_at` u64; little-endian.
const ROW_HEADER: usize = 1 + 2 + 2 + 4 + 8 + 8;

/// Bytes that are no operation: damage that the checksum did not see, or another version's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

pub(crate) fn write_row(out: &mut Vec<u8>, row: RowRef<'_>) {
    // Lengths are bounded when the event is read: 1,024, 512 and 390 K bytes.
    out.reserve(ROW_HEADER + row.key.len() + row.id.len() + row.body.len());
    out.push(TAG_ROW);
    out.extend_from_slice(&(row.key.len() as u16).to_le_bytes());
    out.extend_from_slice(&(row.id.len() as u16).to_le_bytes());
    out.extend_from_slice(&(row.body.len() as u32).to_le_bytes());
    out.extend_from_slice(&row.timestamp.to_le_bytes());
    out.extend_from_slice(&row.put_at.to_le_bytes());
    out.extend_from_slice(row.key);
    out.extend_from_slice(row.id);
    out.extend_from_slice(row.body);
}

/// Reads the row at the start of `bytes`, and what follows it.
pub(crate) fn read_row(bytes: &[u8]) -> Result<(RowRef<'_>, &[u8]), Unreadable> {
    let (header, rest) = bytes.split_first_chunk::<ROW_HEADER>().ok_or(Unreadable)?;
    let key_len = usize::from(u16::from_le_bytes([header[1], header[2]]));
    let id_len = usize::from(u16::from_le_bytes([header[3], header[4]]));
    let body_len = u32::from_le_bytes([header[5], header[6], header[7], header[8]]) as usize;
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let (text, rest) = rest.split_at_checked(key_len + id_len + body_len).ok_or(Unreadable)?;
    let (key, text) = text.split_at(key_len);
    let (id, body) = text.split_at(id_len);
    Ok((RowRef { key, timestamp: number(9), id, put_at: number(17), body }, rest))
}

pub(crate) fn write_view(out: &mut Vec<u8>, key: &str, record: &Record) {
    match record.changed == record.commit {
        true => write(out, TAG_VIEW, &(key, record)),
        false => write(out, TAG_SAME_VIEW, &(key, record, record.changed)),
    }
}

pub(crate) fn write_put(out: &mut Vec<u8>, table: Table, key: &[u8], value: Option<&[u8]>) {
    write(out, TAG_PUT, &(table, key, value));
}

pub(crate) fn write_erase(out: &mut Vec<u8>, key: &str, at: u64) {
    write(out, TAG_ERASE, &(key, at));
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
            let ((key, mut record), rest): ((_, Box<Record>), _) =
                postcard::take_from_bytes(rest).map_err(|_| Unreadable)?;
            record.changed = record.commit;
            Ok((Op::View { key, record }, rest))
        }
        TAG_SAME_VIEW => {
            let ((key, mut record, changed), rest): ((_, Box<Record>, _), _) =
                postcard::take_from_bytes(rest).map_err(|_| Unreadable)?;
            record.changed = changed;
            Ok((Op::View { key, record }, rest))
        }
        TAG_PUT => {
            let ((table, key, value), rest) = postcard::take_from_bytes(rest).map_err(|_| Unreadable)?;
            Ok((Op::Put { table, key, value }, rest))
        }
        TAG_ERASE => {
            let ((key, at), rest) = postcard::take_from_bytes(rest).map_err(|_| Unreadable)?;
            Ok((Op::Erase { key, at }, rest))
        }
        _ => Err(Unreadable),
    }
}
