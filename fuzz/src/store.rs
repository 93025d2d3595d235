//! What the store reads of its own and of its readers': operations, records, keys, cursors and
//! positions.

use millpond_core::Position;
use millpond_store::{Cursor, fuzzing};

use crate::below;

/// The first byte says as what the rest is read.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => stable(fuzzing::operations_again, rest),
        1 => stable(fuzzing::record_again, rest),
        2 => row_keys(rest),
        _ => texts(rest),
    }
}

/// What was read once and written is read as the same.
fn stable(again: impl Fn(&[u8]) -> Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(written) = again(bytes) {
        assert_eq!(again(&written).as_ref(), Some(&written));
    }
}

fn row_keys(bytes: &[u8]) {
    if let Some((key, position)) = fuzzing::row_key_parts(bytes) {
        assert_eq!(fuzzing::row_key(&key, &position), bytes);
        // Behind all rows of a key come those of no key that begins with it.
        let (prefix, after) = fuzzing::row_bounds(&key);
        assert!(bytes.starts_with(&prefix) && prefix.as_slice() <= bytes && bytes < after.as_slice());
    }
    let Some((cut, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (one, other) = rest.split_at(below(*cut, rest.len() + 1));
    if let (Some(one_parts), Some(other_parts)) = (fuzzing::row_key_parts(one), fuzzing::row_key_parts(other)) {
        assert_eq!(one.cmp(other), one_parts.cmp(&other_parts), "the order of bytes is not that of places");
    }
}

fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Cursor>() {
        Ok(cursor) => {
            let shown = cursor.to_string();
            assert!(shown.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'));
            let again: Cursor = shown.parse().expect("what a cursor says is one");
            assert_eq!(again.to_string(), shown);
        }
        Err(error) => assert!(error.to_string().chars().count() < 250, "it tells all of a long text"),
    }
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
}
