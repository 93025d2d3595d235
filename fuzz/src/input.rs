//! Files of events: the same items, however the bytes arrive and however few are held.

use millpond::fuzzing::input::{Item, Sizes, items};

/// Large enough for every input here, and so small that pieces end everywhere.
const WHOLE: Sizes = Sizes { step: 1 << 20, items_max: 1 << 20, read_bytes: 1 << 16, batch_bytes: 1 << 20 };
const PIECES: [Sizes; 4] = [
    Sizes { step: 1, items_max: 1, read_bytes: 5, batch_bytes: 9 },
    Sizes { step: 7, items_max: 3, read_bytes: 7, batch_bytes: 1 },
    Sizes { step: 64, items_max: 2, read_bytes: 64, batch_bytes: 100 },
    Sizes { step: 65, items_max: 1_000, read_bytes: 1_000, batch_bytes: 64 },
];
/// Longer inputs say nothing new, and are slow byte by byte.
const BYTES_MAX: usize = 1 << 14;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file in pieces of all sizes.
pub fn run(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    let whole = items(bytes, WHOLE);
    covered(bytes, &whole);
    for sizes in PIECES {
        assert_eq!(items(bytes, sizes), whole, "in pieces: {sizes:?}");
    }
}

/// Every byte lies in an item or parts two, and each item says where it lies.
fn covered(bytes: &[u8], items: &[Item]) {
    let mut end = 0;
    for item in items {
        let start = item.offset as usize;
        separates(&bytes[end..start]);
        end = start + item.bytes.len();
        assert_eq!(bytes[start..end], item.bytes[..]);
        assert_eq!(item.line as usize, 1 + bytes[..start].iter().filter(|byte| **byte == b'\n').count());
        assert!(item.flaw.is_some() || !item.bytes.is_empty());
    }
    separates(&bytes[end..]);
    // An array that serde_json reads is taken apart as it does.
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if let (Some(b'['), Ok(elements)) =
        (text.trim_ascii_start().first(), serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(text))
    {
        assert!(elements.iter().map(|element| element.get().as_bytes()).eq(items.iter().map(|item| &item.bytes[..])));
        assert!(items.iter().all(|item| item.flaw.is_none()));
    }
}

fn separates(between: &[u8]) {
    let between = between.strip_prefix(BYTE_ORDER_MARK).unwrap_or(between);
    assert!(between.iter().all(|byte| b" \t\r\n[],".contains(byte)), "bytes are lost: {between:?}");
}
