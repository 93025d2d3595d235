//! What tests share: generated histories, a naive fold to compare with, and the examiners that
//! every store and every home must pass.
#![forbid(unsafe_code)]

pub mod conformance;
pub mod events;
pub mod mapping;
pub mod naive;
pub mod protocol;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A runner whose cases are the same on every machine and every day, and that writes no files.
///
/// `MILLPOND_CASES` has it try no more than so many: for who runs all tests a thousand times.
///
/// # Panics
/// If that is no number.
#[must_use]
pub fn runner(cases: u32) -> TestRunner {
    let most = std::env::var("MILLPOND_CASES").ok().map(|most| most.parse().expect("MILLPOND_CASES is a number"));
    let cases = most.map_or(cases, |most| cases.min(most));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
