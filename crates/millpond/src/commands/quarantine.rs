//! `millpond quarantine`: list, show, retry and drop what could not be joined.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire::{QuarantineEntry, Retried};

use super::place::Place;
use crate::cli::{Quarantine, QuarantineChoice, QuarantineOne, Stats};
use crate::output::{counted, head, stdout, utc};

/// Characters of an entry's bytes in a list; `show` prints all of them.
const SHOWN: usize = 160;

pub(super) fn quarantine(command: &Quarantine) -> Result<ExitCode> {
    match command {
        Quarantine::List(args) => list(args),
        Quarantine::Show(args) => show(args),
        Quarantine::Retry(args) => retry(args),
        Quarantine::Drop(args) => drop_entries(args),
    }
}

fn list(args: &Stats) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    let mut out = stdout();
    let mut count = 0u64;
    let mut after = None;
    loop {
        let page = join.quarantine(after.as_deref())?;
        for entry in &page.quarantine {
            count += 1;
            if args.target.json {
                writeln!(out, "{}", serde_json::to_string(entry)?)?;
                continue;
            }
            let QuarantineEntry { id, reason, detail, received_at, text, .. } = entry;
            writeln!(out, "{id}  {}  {reason}: {detail}\n    {}", utc(*received_at), head(text, SHOWN))?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    out.flush()?;
    if !args.target.json {
        eprintln!("{} in quarantine", counted(count, "entry", "entries"));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &QuarantineOne) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let found = place.join(&args.target, &args.join)?.quarantined(&args.id)?;
    let mut out = stdout();
    out.write_all(&found)?;
    writeln!(out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn retry(args: &QuarantineChoice) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let Retried { left, stay } = place.join(&args.target, &args.join)?.quarantine_retry(args.id.as_deref())?;
    let mut out = stdout();
    match args.target.json {
        true => writeln!(out, "{{\"left\":{left},\"stay\":{stay}}}")?,
        false => {
            let stay = counted(stay, "stays", "stay");
            writeln!(out, "{} left the quarantine, {stay}", counted(left, "entry has", "entries have"))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn drop_entries(args: &QuarantineChoice) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let dropped = place.join(&args.target, &args.join)?.quarantine_drop(args.id.as_deref())?;
    let mut out = stdout();
    match args.target.json {
        true => writeln!(out, "{{\"dropped\":{dropped}}}")?,
        false => writeln!(out, "{} dropped", counted(dropped, "entry", "entries"))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
