//! The files that are measured with, made once and kept.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use super::Bench;
use crate::generate::{EVENTS_FILE, EXPECTED_FILE, SHUFFLED_DOUBLED_FILE, generate};

/// The workload's files, and its numbers.
#[derive(Debug)]
pub(super) struct Inputs {
    dir: PathBuf,
    /// Distinct events.
    pub(super) events: u64,
}

impl Inputs {
    /// Makes the files of the published workload, unless an earlier run has.
    pub(super) fn prepare(bench: &Bench) -> anyhow::Result<Self> {
        let workload = bench.workload();
        let dir = bench.dir.join(format!("inputs-{}-{}-{}", workload.events, workload.keys, workload.seed));
        if !dir.exists() {
            eprintln!("bench: making {}", dir.display());
            let scratch = bench.scratch()?;
            generate(&workload, scratch.path(), true)?;
            // In one step, so that a run that is broken off leaves nothing half made.
            fs::rename(scratch.path(), &dir).with_context(|| format!("making {}", dir.display()))?;
        }
        Ok(Self { dir, events: workload.events })
    }

    /// The lines as they are delivered.
    pub(super) fn delivered(&self) -> PathBuf {
        self.dir.join(EVENTS_FILE)
    }

    /// Each of them twice, in random order.
    pub(super) fn shuffled(&self) -> PathBuf {
        self.dir.join(SHUFFLED_DOUBLED_FILE)
    }

    /// The views that follow.
    pub(super) fn expected(&self) -> PathBuf {
        self.dir.join(EXPECTED_FILE)
    }
}
