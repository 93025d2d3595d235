//! `millpond quarantine`: list, show, retry and drop what could not be joined.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_core::json::quoted;
use millpond_store::{QuarantineEntry, Retried, Store};

use super::{now, open};
use crate::cli::{Quarantine, QuarantineChoice, QuarantineOne, Stats};
use crate::exit::NotFound;
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
    let (_folder, store) = open(&args.data, &args.join)?;
    let mut out = stdout();
    let mut count = 0u64;
    store.each_quarantined(|entry| {
        count += 1;
        let QuarantineEntry { id, quarantined } = entry;
        let text = String::from_utf8_lossy(&quarantined.bytes);
        let rejection = &quarantined.rejection;
        if args.data.json {
            writeln!(
                out,
                "{{\"id\":\"{id}\",\"reason\":\"{}\",\"detail\":{},\"received_at\":{},\"bytes\":{},\"text\":{}}}",
                rejection.reason,
                quoted(&rejection.detail),
                quarantined.at,
                quarantined.bytes.len(),
                quoted(&text)
            )?;
        } else {
            writeln!(out, "{id}  {}  {rejection}\n    {}", utc(quarantined.at), head(&text, SHOWN))?;
        }
        anyhow::Ok(())
    })?;
    out.flush()?;
    if !args.data.json {
        eprintln!("{} in quarantine", counted(count, "entry", "entries"));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &QuarantineOne) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let mut found = None;
    store.each_quarantined(|entry| {
        if entry.id == args.id {
            found = Some(entry.quarantined);
        }
        anyhow::Ok(())
    })?;
    let found = found.ok_or_else(|| unknown(&args.id))?;
    let mut out = stdout();
    out.write_all(&found.bytes)?;
    writeln!(out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn retry(args: &QuarantineChoice) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let now = now(&args.data);
    let (mut left, mut stay) = (0u64, 0u64);
    for id in chosen(&store, args)? {
        match store.retry_quarantined(&id, now)? {
            Retried::Left(_) => left += 1,
            Retried::Stays(_) => stay += 1,
            Retried::Unknown => return Err(unknown(&id).into()),
        }
    }
    let mut out = stdout();
    match args.data.json {
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
    let (_folder, store) = open(&args.data, &args.join)?;
    let mut dropped = 0u64;
    for id in chosen(&store, args)? {
        if !store.drop_quarantined(&id)? {
            return Err(unknown(&id).into());
        }
        dropped += 1;
    }
    let mut out = stdout();
    match args.data.json {
        true => writeln!(out, "{{\"dropped\":{dropped}}}")?,
        false => writeln!(out, "{} dropped", counted(dropped, "entry", "entries"))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The entries are listed before any is changed.
fn chosen(store: &Store, args: &QuarantineChoice) -> Result<Vec<String>> {
    if let Some(id) = &args.id {
        return Ok(vec![id.clone()]);
    }
    let mut ids = Vec::new();
    store.each_quarantined(|entry| {
        ids.push(entry.id);
        anyhow::Ok(())
    })?;
    Ok(ids)
}

fn unknown(id: &str) -> NotFound {
    NotFound(format!("quarantine has no entry `{id}`; `millpond quarantine list` prints them"))
}
