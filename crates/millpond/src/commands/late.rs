//! `millpond late`: list, accept and drop events that came after their place was closed.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_core::Position;
use millpond_core::json::quoted;
use millpond_store::{Accepted, Store};

use super::{now, open};
use crate::cli::{Late, LateChoice, OfKeys};
use crate::exit::NotFound;
use crate::output::{counted, head, one_line, stdout, utc};

/// Characters of an event's text in a list; `--json` has all of them.
const SHOWN: usize = 160;

pub(super) fn late(command: &Late) -> Result<ExitCode> {
    match command {
        Late::List(args) => list(args),
        Late::Accept(args) => {
            let now = now(&args.data);
            decide(args, "accepted", |store, key, at| Ok(store.accept_late(key, at, now)? == Accepted::Folded))
        }
        Late::Drop(args) => decide(args, "dropped", |store, key, at| Ok(store.drop_late(key, at)?)),
    }
}

fn list(args: &OfKeys) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let mut out = stdout();
    let mut count = 0u64;
    store.each_late(args.key.as_deref(), |entry| {
        count += 1;
        let (row, closed) = (&entry.event.row, &entry.event.closed);
        if args.data.json {
            writeln!(
                out,
                "{{\"key\":{},\"position\":{},\"received_at\":{},\"closed_through\":{},\"event\":{}}}",
                quoted(&entry.key),
                quoted(&row.position.to_string()),
                row.put_at,
                quoted(&closed.to_string()),
                one_line(&row.body)
            )?;
        } else {
            writeln!(out, "{} {}  received {}, closed through {closed}", entry.key, row.position, utc(row.put_at))?;
            writeln!(out, "    {}", head(&row.body, SHOWN))?;
        }
        anyhow::Ok(())
    })?;
    out.flush()?;
    if !args.data.json {
        eprintln!("{}", counted(count, "late event", "late events"));
    }
    Ok(ExitCode::SUCCESS)
}

fn decide(args: &LateChoice, done: &str, act: impl Fn(&Store, &str, &Position) -> Result<bool>) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let mut count = 0u64;
    for (key, position) in chosen(&store, args)? {
        count += u64::from(act(&store, &key, &position)?);
    }
    if count == 0 && !args.all {
        return Err(NotFound("there is no such event in the late queue; `millpond late list` prints it".into()).into());
    }
    let mut out = stdout();
    match args.data.json {
        true => writeln!(out, "{{\"{done}\":{count}}}")?,
        false => writeln!(out, "{} {done}", counted(count, "late event", "late events"))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The entries are listed before any is changed.
fn chosen(store: &Store, args: &LateChoice) -> Result<Vec<(String, Position)>> {
    if let (Some(key), Some(position)) = (&args.key, &args.position) {
        return Ok(vec![(key.clone(), position.clone())]);
    }
    let mut entries = Vec::new();
    store.each_late(args.key.as_deref(), |entry| {
        entries.push((entry.key, entry.event.row.position));
        anyhow::Ok(())
    })?;
    Ok(entries)
}
