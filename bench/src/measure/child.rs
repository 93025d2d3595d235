//! Parts of the bench that need a process of their own: the task goes in as an argument, its report comes out as a line.

use std::process::Command;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::load::Load;
use super::{Bench, process};

/// The command of `millpond-bench` that runs a task.
pub(super) const CHILD: &str = "child";

/// What a child can do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    Floor(Floor),
    Load(Load),
}

impl Task {
    /// The command that runs it.
    pub(super) fn command(&self, bench: &Bench) -> anyhow::Result<Command> {
        let mut command = Command::new(&bench.programs.bench);
        command.arg(CHILD).arg(serde_json::to_string(self)?);
        Ok(command)
    }

    /// Runs it to its end.
    pub(super) fn run<R: DeserializeOwned>(&self, bench: &Bench) -> anyhow::Result<R> {
        report(&process::run(&mut self.command(bench)?)?.stdout)
    }
}

/// Reads what [`tell`] has printed.
pub(super) fn report<R: DeserializeOwned>(line: &str) -> anyhow::Result<R> {
    serde_json::from_str(line).with_context(|| format!("no report: {line}"))
}

/// Prints a report.
pub(super) fn tell(report: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

/// Does a task, written as JSON, in this process.
///
/// # Errors
/// The task is unreadable, the disk failed, or an answer was wrong.
pub fn child(task: &str) -> anyhow::Result<()> {
    match serde_json::from_str(task).context("no task")? {
        Task::Floor(floor) => floor.run(),
        Task::Load(load) => load.run(),
    }
}
