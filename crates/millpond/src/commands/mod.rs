//! The commands, one file a subject; this one says what they share.

mod check;
mod explain;
mod late;
mod quarantine;
mod rebuild;
mod run;
mod serve;
mod snapshot;
mod stats;
mod token;
mod verify;
mod view;

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use millpond_core::Join;
use millpond_store::{DataFolder, Opened, Options, Store};

use crate::cli::{Cli, Command, Data};
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
        Command::Serve(args) => serve::serve(*args),
        Command::Token(args) => token::token(&args),
    }
}

/// The clock: only here, and only where a command begins something.
fn now(data: &Data) -> u64 {
    data.now.unwrap_or_else(clock)
}

fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A definition from a file, or every fault in it with the file's name.
fn definition(path: &Path) -> Result<Join> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Join::parse(&text).map_err(|faults| BadDefinition { path: path.display().to_string(), faults }.into())
}

/// Opens a join that is there. The folder comes first, so that it is let go of last.
fn open(data: &Data, name: &str) -> Result<(DataFolder, Store)> {
    let folder = DataFolder::open(&data.data)?;
    let (store, opened) = Store::open(&folder, name, Options::default())?;
    tell_torn(&opened);
    Ok((folder, store))
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
