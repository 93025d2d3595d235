//! The service under load: a real `millpond serve`, and senders and readers over loopback in this process.
//!
//! [`Peak`] sends the published workload as fast as it is taken and compares CPU with `millpond run`; [`Steady`] keeps
//! a share of the peak for a long time, with latencies counted from the time each request was due.

mod changes;
mod connection;
mod ledger;
mod peak;
mod probe;
mod readers;
mod sample;
mod schedule;
mod senders;
mod server;
mod shared;
mod steady;
mod taken;
mod traffic;

use anyhow::Context;
use serde::Serialize;

pub use sample::Sample;
pub use steady::Steady;

use super::Bench;
use super::figure::Figure;

/// What was measured of a server.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// The rows of the table.
    pub figures: Vec<Figure>,
    /// The server, second by second; only where it was watched.
    pub samples: Vec<Sample>,
    /// What went wrong: there must be nothing.
    pub failures: Vec<String>,
}

impl Bench {
    /// The published workload over HTTP, and `millpond run` beside it.
    ///
    /// # Errors
    /// A program or the disk failed, or an answer was wrong.
    pub fn serve_peak(&self) -> anyhow::Result<Measured> {
        let figures = peak::measure(self).context("measuring the peak")?;
        Ok(Measured { figures, samples: Vec::new(), failures: Vec::new() })
    }

    /// A server under a steady load.
    ///
    /// # Errors
    /// A program or the disk failed, or what was acknowledged is not what is there in the end. Requests that failed
    /// are told in [`Measured::failures`].
    pub fn serve_steady(&self, steady: &Steady) -> anyhow::Result<Measured> {
        steady.measure(self).context("measuring a steady load")
    }
}

/// As the workload writes them.
fn key(number: u64) -> String {
    format!("user-{number:06}")
}
