//! `millpond verify`: everything folded anew, and each difference printed.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;
use millpond_client::wire::{Difference, Verified};
use serde_json::json;

use super::place::Place;
use crate::cli::Verify;
use crate::exit::DIFFERENT;
use crate::output::{counted, grouped, stdout};

pub(super) fn verify(args: &Verify) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let names = match &args.join {
        Some(name) => vec![name.clone()],
        None => place.joins()?,
    };
    let mut out = stdout();
    let mut differences = 0;
    for name in &names {
        let join = place.join(&args.target, name)?;
        let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(250));
        let compared = join.verify(&|keys| bar.set_message(grouped(keys)))?;
        bar.finish_and_clear();
        differences += compared.differences;
        print(&mut out, args.target.json, name, &compared)?;
    }
    out.flush()?;
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn print(out: &mut impl Write, as_json: bool, join: &str, compared: &Verified) -> Result<()> {
    let Verified { keys, events, differences, shown } = compared;
    for found in shown {
        match as_json {
            true => difference(out, join, found)?,
            false => {
                let Difference { key, what, stored, refolded } = found;
                writeln!(out, "{key}: {what} is {stored}, the events say {refolded}")?;
            }
        }
    }
    let hidden = differences.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        eprintln!("millpond: {} not shown", counted(hidden, "more difference is", "more differences are"));
    }
    if as_json {
        let join = json!(join);
        writeln!(out, "{{\"join\":{join},\"keys\":{keys},\"rows\":{events},\"differences\":{differences}}}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{join}: {} folded anew from snapshots and {} after them, {}",
        counted(*keys, "key", "keys"),
        counted(*events, "event", "events"),
        counted(*differences, "difference", "differences")
    )?;
    Ok(())
}

fn difference(out: &mut impl Write, join: &str, found: &Difference) -> io::Result<()> {
    let Difference { key, what, stored, refolded } = found;
    let [join, key, what, stored, refolded] = [join, key, what, stored, refolded].map(|text| json!(text));
    writeln!(out, "{{\"join\":{join},\"key\":{key},\"what\":{what},\"stored\":{stored},\"refolded\":{refolded}}}")
}
