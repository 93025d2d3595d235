//! How the input is read: limits, digests, failures.

use super::*;
use crate::input::{Flaw, digest_of_prefix};
use xxhash_rust::xxh3::xxh3_128;

/// Items over 8 bytes are oversized.
const SMALL: [Limits; 3] = [
    Limits { read_bytes: 1 << 10, batch_bytes: 1 << 10, item_bytes_max: 8, head_bytes: 4 },
    Limits { read_bytes: 3, batch_bytes: 1 << 10, item_bytes_max: 8, head_bytes: 4 },
    Limits { read_bytes: 3, batch_bytes: 4, item_bytes_max: 8, head_bytes: 8 },
];

#[test]
fn an_oversized_item_is_its_head_and_its_length_and_reading_goes_on() {
    let oversized = |piece: &str, length: u64| format!("{piece} ! {}", Flaw::Oversized { length });
    let long = "x".repeat(40);
    for limits in SMALL {
        let head = &long[..limits.head_bytes];
        let large = oversized(&format!("2@9 {head}"), 40);
        check_within(&[limits], &format!("12345678\n{long}\n{{}}\n"), &["1@0 12345678", &large, "3@50 {}"]);
        check_within(&[limits], &format!("12345678\n{long}"), &["1@0 12345678", &large]);
        let nested = format!("\n[{{}},\n \"{}\",1]", &long[..38]);
        let large = oversized(&format!("3@7 \"{}", &head[1..]), 40);
        check_within(&[limits], &nested, &["2@2 {}", &large, "3@48 1"]);
        let unclosed = oversized(&format!("1@3 {}", &format!("[{long}")[..limits.head_bytes]), 41);
        check_within(&[limits], &format!("[1,[{long}"), &["1@1 1", &unclosed]);
    }
}

#[test]
fn the_space_between_items_may_be_longer_than_an_item() {
    let gap = " \n".repeat(30);
    check_within(&SMALL, &format!("{gap}{{}}{gap}{{}}{gap}"), &["31@60 {}", "61@122 {}"]);
    check_within(&SMALL, &format!("[{gap}{{}}{gap},{gap}1]"), &["31@61 {}", "91@184 1"]);
}

#[test]
fn memory_stays_bounded_whatever_the_input() {
    let inputs =
        ["x".repeat(1 << 16), " ".repeat(1 << 16), format!("[{}", "[".repeat(1 << 16)), "{}\n".repeat(1 << 14)];
    for input in inputs {
        let mut reader = Reader::with_limits(input.as_bytes(), SMALL[2]);
        while !reader.next_batch(1 << 20).expect("a slice never fails").is_empty() {
            assert!(reader.held_bytes() <= 64, "{} bytes", reader.held_bytes());
        }
    }
}

#[test]
fn the_digest_covers_exactly_what_was_delivered() {
    let array = format!("\u{FEFF}[{}\n]\n", r#"{"a":"b"}, "#.repeat(50));
    for input in ["{}\n\n{\"a\":1}\r\n  [1]\n".repeat(40), array, "x".repeat(500), String::new()] {
        for limits in SMALL.into_iter().chain(LIMITS) {
            for (step, items_max) in [(1, 1), (1, 3), (7, 2), (1 << 10, 1), (1 << 10, 5), (1 << 10, 1 << 10)] {
                check_digests(&input, step, items_max, limits);
            }
        }
    }
}

fn check_digests(input: &str, step: usize, items_max: usize, limits: Limits) {
    let mut reader = Reader::with_limits(Trickle { rest: input.as_bytes(), step }, limits);
    loop {
        let batch = reader.next_batch(items_max).expect("a slice never fails");
        let (last, end, offset) = (batch.is_empty(), batch.end_offset(), batch.iter().last().map(|item| item.offset));
        assert!(offset.is_none_or(|offset| offset < end));
        assert_eq!(batch.digest(), xxh3_128(&input.as_bytes()[..end as usize]));
        assert_eq!(digest_of_prefix(input.as_bytes(), end).expect("a slice never fails"), Some(batch.digest()));
        if last {
            assert_eq!(end, input.len() as u64);
            break;
        }
    }
    assert_eq!(digest_of_prefix(input.as_bytes(), input.len() as u64 + 1).expect("a slice never fails"), None);
}

/// Fails once, and is interrupted before each read.
struct Failing<'a> {
    parts: Vec<&'a [u8]>,
    interrupted: bool,
}

impl Read for Failing<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match self.parts.pop() {
            Some(b"") => Err(io::ErrorKind::TimedOut.into()),
            Some(part) => Trickle { rest: part, step: part.len() }.read(space),
            None => Ok(0),
        }
    }
}

#[test]
fn what_came_before_a_failure_is_delivered_before_it() {
    let source = Failing { parts: vec![b"3\n4", b"", b"1\n2\n  "], interrupted: false };
    let mut reader = Reader::with_limits(source, LIMITS[0]);
    let mut next = || reader.next_batch(9).map(|batch| (batch.iter().count(), batch.end_offset(), batch.digest()));
    assert_eq!(next().expect("two items"), (2, 4, xxh3_128(b"1\n2\n")));
    assert!(next().is_err());
    assert_eq!(next().expect("the rest"), (2, 9, xxh3_128(b"1\n2\n  3\n4")));
    assert_eq!(next().expect("the end"), (0, 9, xxh3_128(b"1\n2\n  3\n4")));
}

#[test]
fn what_is_ready_does_not_wait_for_more() {
    let mut reader = Reader::new(Trickle { rest: b"1\n2\n3\n4", step: 3 });
    let mut batches = Vec::new();
    loop {
        let batch = reader.next_ready(10).unwrap();
        if batch.is_empty() {
            break;
        }
        batches.push(batch.iter().map(|item| String::from_utf8_lossy(item.bytes).into_owned()).collect::<Vec<_>>());
    }
    assert_eq!(batches, [&["1"][..], &["2", "3"], &["4"]]);
}
