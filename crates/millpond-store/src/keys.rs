//! Keys of the LSM's tables. Join keys and ids hold no control characters, so a zero byte ends
//! them, and the order of bytes is the order of (key, timestamp, id).

use millpond_core::{At, Position};

const END: u8 = 0;

/// (key, position): of a row in `events`, of an entry in `late`.
pub(crate) fn row_key(key: &[u8], at: At<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 9 + at.id.len());
    write_row_key(&mut bytes, key, (at.timestamp, at.id.as_bytes()));
    bytes
}

pub(crate) fn write_row_key(out: &mut Vec<u8>, key: &[u8], (timestamp, id): (u64, &[u8])) {
    out.extend_from_slice(key);
    out.push(END);
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(id);
}

/// What all rows of a key begin with.
pub(crate) fn row_prefix(key: &str) -> Vec<u8> {
    let mut bytes = key.as_bytes().to_vec();
    bytes.push(END);
    bytes
}

/// The first key after all rows of a key.
pub(crate) fn after_rows(key: &str) -> Vec<u8> {
    let mut bytes = key.as_bytes().to_vec();
    bytes.push(END + 1);
    bytes
}

/// Takes a row's key apart; `None` if the bytes are none.
pub(crate) fn parse_row_key(bytes: &[u8]) -> Option<(&str, Position)> {
    let end = bytes.iter().position(|byte| *byte == END)?;
    let (key, rest) = (&bytes[..end], &bytes[end + 1..]);
    let (timestamp, id) = rest.split_first_chunk::<8>()?;
    let key = std::str::from_utf8(key).ok()?;
    Some((key, Position::new(u64::from_be_bytes(*timestamp), std::str::from_utf8(id).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn byte_order_is_the_order_of_key_and_position(
            a in ("[ -~é]{1,3}", any::<u64>(), "[ -~]{1,3}"), b in ("[ -~é]{1,3}", any::<u64>(), "[ -~]{1,3}"),
        ) {
            let bytes = |(key, timestamp, id): &(String, u64, String)| row_key(key.as_bytes(), At { timestamp: *timestamp, id });
            let order = (&a.0, a.1, &a.2).cmp(&(&b.0, b.1, &b.2));
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), order);
            let encoded = bytes(&a);
            let (key, position) = parse_row_key(&encoded).unwrap();
            prop_assert_eq!((key, position.timestamp, &*position.id), (a.0.as_str(), a.1, a.2.as_str()));
            prop_assert!(encoded.starts_with(&row_prefix(&a.0)) && encoded < after_rows(&a.0));
        }
    }
}
