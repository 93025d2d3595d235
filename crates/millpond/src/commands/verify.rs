//! `millpond verify`: everything folded anew, and each difference printed.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;
use serde_json::json;

use super::place::{Compared, Found, Place};
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

fn print(out: &mut impl Write, as_json: bool, join: &str, compared: &Compared) -> Result<()> {
    let Compared { keys, rows, differences, shown } = compared;
    for found in shown {
        match as_json {
            true => difference(out, join, found)?,
            false => writeln!(out, "{}: {}", found.key, found.detail)?,
        }
    }
    let hidden = differences.saturating_sub(shown.len() as u64);
    if hidden > 0 {
        eprintln!("millpond: {} not shown", counted(hidden, "more difference is", "more differences are"));
    }
    if as_json {
        let join = json!(join);
        writeln!(out, "{{\"join\":{join},\"keys\":{keys},\"rows\":{rows},\"differences\":{differences}}}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{join}: {} folded anew from snapshots and {} after them, {}",
        counted(*keys, "key", "keys"),
        counted(*rows, "event", "events"),
        counted(*differences, "difference", "differences")
    )?;
    Ok(())
}

fn difference(out: &mut impl Write, join: &str, found: &Found) -> io::Result<()> {
    let (join, key) = (json!(join), json!(found.key));
    match &found.parts {
        Some([what, stored, refolded]) => writeln!(
            out,
            "{{\"join\":{join},\"key\":{key},\"what\":{},\"stored\":{},\"refolded\":{}}}",
            json!(what),
            json!(stored),
            json!(refolded)
        ),
        None => writeln!(out, "{{\"join\":{join},\"key\":{key},\"detail\":{}}}", json!(found.detail)),
    }
}
