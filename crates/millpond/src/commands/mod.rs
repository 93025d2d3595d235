//! The commands, one file a subject; this one says what they share.

mod check;
mod demo;
mod erase;
mod explain;
mod files;
mod join;
mod late;
mod place;
mod put;
mod quarantine;
mod rebuild;
mod run;
mod sending;
mod serve;
mod snapshot;
mod stats;
mod token;
mod verify;
mod view;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use millpond_core::Join;
use millpond_store::Opened;

use crate::cli::target::Target;
use crate::cli::{Cli, Command};
use crate::exit::BadDefinition;
use crate::output::grouped;

pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::View(args) => view::view(&args),
        Command::Events(args) => view::events(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Snapshot(args) => snapshot::snapshot(&args),
        Command::Trim(args) => snapshot::trim(&args),
        Command::Late(args) => late::late(&args),
        Command::Quarantine(args) => quarantine::quarantine(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Check(args) => check::check(&args),
        Command::Rebuild(args) => rebuild::rebuild(&args),
        Command::Stats(args) => stats::stats(&args),
        Command::Erase(args) => erase::erase(&args),
        Command::Put(args) => put::put(args),
        Command::Watch(args) => watch::watch(args),
        Command::Join(args) => join::join(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Serve(args) => serve::serve(*args),
        Command::Token(args) => token::token(&args),
    }
}

/// The clock: only here, and only where a command begins something.
fn now(target: &Target) -> u64 {
    target.now.unwrap_or_else(clock)
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A definition from a file, or every fault in it with the file's name.
fn definition(path: &Path) -> Result<Join> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Join::parse(&text).map_err(|faults| BadDefinition { path: path.display().to_string(), faults }.into())
}

fn tell_torn(opened: &Opened) {
    if let Some((file, offset, bytes)) = &opened.torn {
        eprintln!(
            "millpond: cut {} bytes of an unfinished commit off {} at byte {offset}; it had not been acknowledged",
            grouped(*bytes),
            file.display()
        );
    }
}
