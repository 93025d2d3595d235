//! The workload that Millpond is measured by, the answer it must give, and what it costs to give it.
//!
//! [`workload`] makes the events from a seed, [`oracle`] works out the views in the plainest way there is, and
//! [`generate`] writes both into files. Nothing of Millpond's own code takes part in these three, so that the answer
//! can judge it. [`measure`] runs Millpond over the events, checks every answer, and makes the table of figures.

#![forbid(unsafe_code)]

pub mod workload;

pub mod oracle;

pub mod generate;

pub mod measure;

mod rng;
