//! `millpond stats`: what was counted since a join was made.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire;
use millpond_store::Counters;

use super::place::Place;
use crate::cli::Stats;
use crate::output::{counts, grouped, stdout};

pub(super) fn stats(args: &Stats) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let stats = place.join(&args.target, &args.join)?.stats()?;
    let disk_bytes = stats.disk_bytes;
    let counters = counters(stats);
    let mut out = stdout();
    if args.target.json {
        serde_json::to_writer(&mut out, &counters)?;
        writeln!(out)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}: {} bytes on disk", args.join, grouped(disk_bytes))?;
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

/// What is printed as JSON: without the join, which was asked for, and what changes by itself.
fn counters(stats: wire::Stats) -> Counters {
    Counters {
        received: stats.received,
        accepted: stats.accepted,
        duplicate: stats.duplicate,
        late: stats.late,
        quarantined: stats.quarantined,
        ignored: stats.ignored,
        conflicts: stats.conflicts,
        keys: stats.keys,
        snapshots: stats.snapshots,
        trimmed: stats.trimmed,
        divergence: stats.divergence,
        ignored_types: stats.ignored_types,
        gaps: stats.gaps,
    }
}
