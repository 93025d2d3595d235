//! `millpond snapshot` and `millpond trim`, of one key or of all.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_store::Store;

use super::view::no_view;
use super::{now, open};
use crate::cli::OfKeys;
use crate::output::{counted, stdout};

/// Keys of one commit.
const PAGE: usize = 64;

pub(super) fn snapshot(args: &OfKeys) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let now = now(&args.data);
    let (mut keys, mut closed, mut tail_events) = (0u64, 0u64, 0u64);
    each_page(&store, args, |page| {
        for made in store.snapshot(page, now)? {
            keys += 1;
            closed += u64::from(made.closed);
            tail_events += made.tail_events;
        }
        Ok(())
    })?;
    let json = format!("{{\"keys\":{keys},\"snapshots\":{closed},\"tail_events\":{tail_events}}}");
    let text = format!(
        "{}: {}; {} not settled yet",
        counted(keys, "key", "keys"),
        counted(closed, "new snapshot", "new snapshots"),
        counted(tail_events, "event is", "events are")
    );
    finish(&store, args, &json, &text)
}

pub(super) fn trim(args: &OfKeys) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let (mut keys, mut trimmed) = (0u64, 0u64);
    each_page(&store, args, |page| {
        keys += page.len() as u64;
        trimmed += store.trim(page)?.iter().sum::<u64>();
        Ok(())
    })?;
    let json = format!("{{\"keys\":{keys},\"trimmed\":{trimmed}}}");
    let keys = counted(keys, "key", "keys");
    let text = format!("{keys}: {} trimmed", counted(trimmed, "covered event", "covered events"));
    finish(&store, args, &json, &text)
}

fn finish(store: &Store, args: &OfKeys, json: &str, text: &str) -> Result<ExitCode> {
    store.flush()?;
    let mut out = stdout();
    writeln!(out, "{}", if args.data.json { json } else { text })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn each_page(store: &Store, args: &OfKeys, mut each: impl FnMut(&[&str]) -> Result<()>) -> Result<()> {
    if let Some(key) = &args.key {
        anyhow::ensure!(store.view(key)?.is_some(), no_view(&args.join, key));
        return each(&[key]);
    }
    let mut after: Option<String> = None;
    loop {
        let keys = store.keys("", after.as_deref(), PAGE)?;
        let Some(last) = keys.last() else { return Ok(()) };
        after = Some(last.clone());
        let page: Vec<&str> = keys.iter().map(String::as_str).collect();
        each(&page)?;
    }
}
