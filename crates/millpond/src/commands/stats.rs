//! `millpond stats`: what was counted since a join was made.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use super::open;
use crate::cli::Stats;
use crate::output::{counts, grouped, stdout};

pub(super) fn stats(args: &Stats) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let counters = store.counters();
    let mut out = stdout();
    if args.data.json {
        serde_json::to_writer(&mut out, &counters)?;
        writeln!(out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}: {} bytes on disk", args.join, grouped(store.disk_bytes()))?;
    let plain = |name, count| (name, count, String::new());
    counts(
        &mut out,
        &[
            plain("received", counters.received),
            plain("accepted", counters.accepted),
            plain("duplicate", counters.duplicate),
            plain("late", counters.late),
            ("quarantined", counters.quarantined, format!("{} of them conflicts", grouped(counters.conflicts))),
            plain("ignored", counters.ignored),
            plain("keys", counters.keys),
            plain("snapshots", counters.snapshots),
            plain("trimmed", counters.trimmed),
            ("divergence", counters.divergence, "must be 0".into()),
        ],
    )?;
    for (title, by_name) in [("ignored types", &counters.ignored_types), ("events without a value", &counters.gaps)] {
        if !by_name.is_empty() {
            writeln!(out, "{title}:")?;
            let rows: Vec<_> = by_name.iter().map(|(name, count)| plain(name.as_str(), *count)).collect();
            counts(&mut out, &rows)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
