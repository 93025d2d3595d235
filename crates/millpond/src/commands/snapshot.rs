//! `millpond snapshot` and `millpond trim`, of one key or of all.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use super::place::{Place, each_page};
use crate::cli::OfKeys;
use crate::output::{counted, stdout};

pub(super) fn snapshot(args: &OfKeys) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    let (mut keys, mut closed, mut tail_events) = (0u64, 0u64, 0u64);
    let mut snapshot = |page: Vec<String>| {
        for made in join.snapshot(&page)? {
            keys += 1;
            closed += u64::from(made.closed);
            tail_events += made.tail;
        }
        Ok(())
    };
    match &args.key {
        Some(key) => snapshot(vec![key.clone()])?,
        None => each_page(|after| join.keys(after), snapshot)?,
    }
    join.settle()?;
    let json = format!("{{\"keys\":{keys},\"snapshots\":{closed},\"tail_events\":{tail_events}}}");
    let text = format!(
        "{}: {}; {} not settled yet",
        counted(keys, "key", "keys"),
        counted(closed, "new snapshot", "new snapshots"),
        counted(tail_events, "event is", "events are")
    );
    print(args, &json, &text)
}

pub(super) fn trim(args: &OfKeys) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    let (keys, trimmed) = match &args.key {
        Some(key) => (1, join.trim(key)?),
        None => join.trim_all()?,
    };
    join.settle()?;
    let json = format!("{{\"keys\":{keys},\"trimmed\":{trimmed}}}");
    let keys = counted(keys, "key", "keys");
    let text = format!("{keys}: {} trimmed", counted(trimmed, "covered event", "covered events"));
    print(args, &json, &text)
}

fn print(args: &OfKeys, json: &str, text: &str) -> Result<ExitCode> {
    let mut out = stdout();
    writeln!(out, "{}", if args.target.json { json } else { text })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
