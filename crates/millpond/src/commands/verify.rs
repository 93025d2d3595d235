//! `millpond verify`: everything folded anew, and each difference printed.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;
use millpond_core::json::quoted;
use millpond_store::{DataFolder, KeyDifference, Options, Store};

use super::tell_torn;
use crate::cli::Verify;
use crate::exit::DIFFERENT;
use crate::output::{counted, grouped, stdout};

pub(super) fn verify(args: &Verify) -> Result<ExitCode> {
    let folder = DataFolder::open(&args.data.data)?;
    let names = match &args.join {
        Some(name) => vec![name.clone()],
        None => folder.joins()?,
    };
    let mut out = stdout();
    let mut differences = 0;
    for name in &names {
        let (store, opened) = Store::open(&folder, name, Options::default())?;
        tell_torn(&opened);
        let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(250));
        let mut found = Vec::new();
        let done = store.verify(|difference| found.push(difference), |done| bar.set_message(grouped(done.keys)))?;
        bar.finish_and_clear();
        for difference in &found {
            print(&mut out, args.data.json, name, difference)?;
        }
        differences += done.differences;
        match args.data.json {
            true => writeln!(
                out,
                "{{\"join\":{},\"keys\":{},\"rows\":{},\"differences\":{}}}",
                quoted(name),
                done.keys,
                done.rows,
                done.differences
            )?,
            false => writeln!(
                out,
                "{name}: {} folded anew from snapshots and {} after them, {}",
                counted(done.keys, "key", "keys"),
                counted(done.rows, "event", "events"),
                counted(done.differences, "difference", "differences")
            )?,
        }
    }
    out.flush()?;
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn print(out: &mut impl Write, json: bool, join: &str, found: &KeyDifference) -> io::Result<()> {
    let KeyDifference { key, difference } = found;
    if json {
        return writeln!(
            out,
            "{{\"join\":{},\"key\":{},\"what\":{},\"stored\":{},\"refolded\":{}}}",
            quoted(join),
            quoted(key),
            quoted(&difference.what),
            quoted(&difference.stored),
            quoted(&difference.refolded)
        );
    }
    writeln!(out, "{key}: {} is {}, the events say {}", difference.what, difference.stored, difference.refolded)
}
