//! Talks to a millpond server: typed, retrying safely, streaming changes.
#![forbid(unsafe_code)]

pub mod wire;
