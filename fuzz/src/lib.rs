//! What each fuzz target does with an input: the claims that hold for any bytes. A file a target;
//! the programs in `fuzz_targets` only call them.
#![forbid(unsafe_code)]

pub mod condition;
pub mod definition;
pub mod envelope;
pub mod event;
pub mod http_body;
pub mod input;
pub mod items;
mod json;
pub mod log;
pub mod number;
pub mod payload;
pub mod query;
pub mod state;
pub mod store;

/// The clock of every target: 2026-01-31T12:00:00Z.
const NOW: u64 = 1_769_860_800_000;

/// The definitions of the examples.
const DEVICE_FLEET: &str = include_str!("../../examples/device-fleet/join.toml");
const USER_ACTIVITY: &str = include_str!("../../examples/user-activity/join.toml");

/// The first line, and what follows it.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Two bytes as a number below `bound`.
fn below(bytes: [u8; 2], bound: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes)) % bound.max(1)
}
