//! `millpond late`: list, accept and drop events that came after their place was closed.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire;

use super::place::{AtJoin, Place};
use crate::cli::{Late, LateChoice, OfKeys};
use crate::output::{counted, head, one_line, stdout, utc};

/// Characters of an event's text in a list; `--json` has all of them.
const SHOWN: usize = 160;

pub(super) fn late(command: &Late) -> Result<ExitCode> {
    match command {
        Late::List(args) => list(args),
        Late::Accept(args) => decide(args, "accepted", |join, choice| join.late_accept(choice)),
        Late::Drop(args) => decide(args, "dropped", |join, choice| join.late_drop(choice)),
    }
}

fn list(args: &OfKeys) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    let mut out = stdout();
    let mut count = 0u64;
    let mut after = None;
    loop {
        let page = join.late(args.key.as_deref(), after.as_deref())?;
        for entry in &page.late {
            count += 1;
            if args.target.json {
                writeln!(out, "{}", one_line(&serde_json::to_string(entry)?))?;
                continue;
            }
            let wire::LateEntry { key, position, received_at, closed_through, event } = entry;
            writeln!(out, "{key} {position}  received {}, closed through {closed_through}", utc(*received_at))?;
            writeln!(out, "    {}", head(event.get(), SHOWN))?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    out.flush()?;
    if !args.target.json {
        eprintln!("{}", counted(count, "late event", "late events"));
    }
    Ok(ExitCode::SUCCESS)
}

fn decide(
    args: &LateChoice,
    done: &str,
    act: impl Fn(&dyn AtJoin, &wire::LateChoice) -> Result<u64>,
) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    let position = args.position.as_ref().map(ToString::to_string);
    let count = act(&*join, &wire::LateChoice { key: args.key.clone(), position, all: args.all })?;
    let mut out = stdout();
    match args.target.json {
        true => writeln!(out, "{{\"{done}\":{count}}}")?,
        false => writeln!(out, "{} {done}", counted(count, "late event", "late events"))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
