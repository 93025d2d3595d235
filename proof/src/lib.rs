//! The proof: the real code under every fault there is, by seeds that replay, and what it met.
#![forbid(unsafe_code)]

pub mod disk;
pub mod drivers;
pub mod engine;
pub mod events;
pub mod flags;
pub mod lives;
pub mod model;
pub mod plan;
pub mod report;
pub mod scratch;
pub mod sim;
