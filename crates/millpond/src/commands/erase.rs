//! `millpond erase`: everything that is stored of a key goes, for good.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire::Erased;

use super::place::Place;
use crate::cli::Erase;
use crate::exit::Wrong;
use crate::output::{counted, stdout};

pub(super) fn erase(args: &Erase) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    if !args.yes && !confirmed(args)? {
        eprintln!("millpond: nothing was erased");
        return Ok(ExitCode::FAILURE);
    }
    let erased = join.erase(&args.key)?;
    let mut out = stdout();
    match args.target.json {
        true => writeln!(out, "{}", serde_json::to_string(&erased)?)?,
        false => print(&mut out, &args.join, &erased)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn confirmed(args: &Erase) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Wrong("an erasure cannot be undone, and there is no terminal to ask on: give --yes".into()).into());
    }
    eprint!("Everything that `{}` has of key `{}` will be gone for good. Erase it? [y/N] ", args.join, args.key);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn print(out: &mut impl Write, join: &str, erased: &Erased) -> io::Result<()> {
    let Erased { key, view, snapshot, events, late, quarantined, quarantine_mentions, also_at, compacted } = erased;
    let what = match (view, snapshot) {
        (true, true) => "its view, its snapshot and ",
        (true, false) => "its view and ",
        (false, true) => "its snapshot and ",
        (false, false) => "",
    };
    writeln!(
        out,
        "{join} {key}: erased {what}{}, {}, {} in quarantine",
        counted(*events, "event", "events"),
        counted(*late, "late event", "late events"),
        counted(*quarantined, "entry", "entries")
    )?;
    if !also_at.is_empty() {
        writeln!(out, "some of its events joined other keys too, and remain there: {}", also_at.join(", "))?;
    }
    if !compacted {
        writeln!(out, "the bytes are still on disk: somebody was reading; the server tries again every minute")?;
    }
    for id in quarantine_mentions {
        writeln!(out, "mentions the key, but may be about another: millpond quarantine show {join} {id}")?;
    }
    Ok(())
}
