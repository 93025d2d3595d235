//! The table of figures: what Millpond costs on this machine. A wrong answer is no figure: it ends the run.
//!
//! One file a group of figures. What needs a process of its own, for its memory, its death or its clock, is a child
//! (`child.rs`). Linux only: processes are observed through `/proc`.

mod figure;
mod floor;
mod growth;
mod ingest;
mod latency;
mod reads;
mod reopen;
mod snapshots;

mod serve;

mod child;
mod inputs;
mod load;
mod machine;
mod meter;
mod process;
mod programs;
mod sample;

use std::path::PathBuf;

use anyhow::Context;
use tempfile::TempDir;

pub use child::child;
pub use figure::{Figure, markdown};
pub use machine::Machine;
pub use programs::{Programs, target_dir};
pub use serve::{Measured, Sample, Steady};

use crate::workload::Workload;

/// The example's definition, which the oracle knows the answer of.
const DEFINITION: &str = include_str!("../../../examples/user-activity/join.toml");

/// The clock of the first batch: four months after the workload's events, so that none is ever from the future.
const START_MS: u64 = 1_770_000_000_000;

/// Events of one commit, where nothing else is said: the default of `millpond run`.
const BATCH_EVENTS: usize = 1_000;

/// What to measure with, how much, and how often.
#[derive(Debug)]
pub struct Bench {
    /// The programs that are run.
    pub programs: Programs,
    /// Where inputs are kept and stores are made and removed: its file system is what is measured.
    pub dir: PathBuf,
    /// Runs that a median is taken of.
    pub runs: usize,
    /// Multiplies every size: 1 gives figures to publish, less tells whether all works.
    pub scale: f64,
}

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// A file through `millpond run`, and the floor beside it
    Ingest,
    /// One event in, durable and readable
    Latency,
    /// The cost of an event, as the history of its key grows
    History,
    /// CPU and memory, as the number of keys grows
    Keys,
    /// Opening after kill -9
    Reopen,
    /// Views, tails, scans and verify
    Reads,
    /// Snapshots and trims while events come in
    Snapshots,
}

impl Bench {
    /// The figures of some groups, in the order given.
    ///
    /// # Errors
    /// A program or the disk failed, or an answer was wrong.
    pub fn measure(&self, groups: &[Group]) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for group in groups {
            eprintln!("bench: {group:?}");
            let measured = match group {
                Group::Ingest => ingest::measure(self),
                Group::Latency => latency::measure(self),
                Group::History => growth::history(self),
                Group::Keys => growth::keys(self),
                Group::Reopen => reopen::measure(self),
                Group::Reads => reads::measure(self),
                Group::Snapshots => snapshots::measure(self),
            };
            figures.extend(measured.with_context(|| format!("measuring {group:?}"))?);
        }
        Ok(figures)
    }

    /// The published workload at this scale.
    fn workload(&self) -> Workload {
        let full = Workload::default();
        Workload { events: self.scaled(full.events), keys: self.scaled(full.keys), ..full }
    }

    fn scaled(&self, count: u64) -> u64 {
        ((count as f64 * self.scale) as u64).max(1)
    }

    /// An empty folder that is gone when dropped.
    fn scratch(&self) -> anyhow::Result<TempDir> {
        std::fs::create_dir_all(&self.dir).with_context(|| format!("making {}", self.dir.display()))?;
        tempfile::tempdir_in(&self.dir).with_context(|| format!("making a folder in {}", self.dir.display()))
    }
}
