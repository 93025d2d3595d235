//! The workload that Millpond is measured by, and the answer it must give.
//!
//! [`workload`] makes the events from a seed, [`oracle`] works out the views in the plainest way there is, and
//! [`generate`] writes both into files. Nothing of Millpond's own code takes part, so that the answer can judge it.

#![forbid(unsafe_code)]

pub mod workload;

pub mod oracle;

pub mod generate;

mod rng;
