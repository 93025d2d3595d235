//! Whatever threads share in the store is right under every schedule that a controlled scheduler tries: it decides at
//! each lock, wait, message and step of the disk who goes on. `cargo xtask schedules` runs it.
//!
//! `MILLPOND_SCHEDULES` says how many a property, `MILLPOND_SEED` begins as another run did, and
//! `MILLPOND_SCHEDULE` repeats the one that a failure has printed.
#![cfg(shuttle)]
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

mod beside;
mod erase;
mod failing;
mod scheduler;
mod world;
