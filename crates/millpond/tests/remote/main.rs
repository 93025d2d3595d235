//! The commands against a server: the real binary on both sides.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

mod both_ways;
#[expect(dead_code, reason = "other tests use more of it")]
#[path = "../common/mod.rs"]
mod common;
mod demo;
mod put;
mod secured;
mod server;
mod watch;

/// The timestamp of the first event: 2025-10-09.
const START_MS: u64 = 1_760_000_000_000;

/// An order of a user, the number-th.
fn order(number: usize, user: &str) -> String {
    let timestamp = START_MS + number as u64;
    format!(r#"{{"id":"o-{number}","type":"order-submitted","timestamp":{timestamp},"order":{{"userId":"{user}"}}}}"#)
}
