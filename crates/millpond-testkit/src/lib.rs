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
#[must_use]
pub fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
