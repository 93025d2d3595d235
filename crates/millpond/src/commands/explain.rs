//! `millpond explain`: why a value is what it is.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire::{FieldExplanation, SnapshotInfo};

use super::place::Place;
use crate::cli::OfKey;
use crate::output::{counted, grouped, stdout, utc};

/// Events shown of a field that many have made; `--json` has all.
const EVENTS_SHOWN: usize = 10;

pub(super) fn explain(args: &OfKey) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let explained = place.join(&args.target, &args.join)?.explained(&args.key)?;
    let mut out = stdout();
    if args.target.json {
        for explanation in &explained.fields {
            serde_json::to_writer(&mut out, explanation)?;
            writeln!(out)?;
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let in_snapshot = explained.snapshot.as_ref().map_or(0, |snapshot| snapshot.events);
    writeln!(
        out,
        "{} {}: {}, {} in the snapshot and {} after it",
        args.join,
        args.key,
        counted(explained.events, "event", "events"),
        grouped(in_snapshot),
        grouped(explained.tail)
    )?;
    if let Some(SnapshotInfo { through, .. }) = &explained.snapshot {
        let timestamp = through.split('/').next().and_then(|digits| digits.parse().ok()).unwrap_or_default();
        writeln!(out, "snapshot through {through} ({})", utc(timestamp))?;
    }
    for explanation in &explained.fields {
        print(&mut out, explanation)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, explanation: &FieldExplanation) -> Result<()> {
    writeln!(out, "\n{} = {}  ({})", explanation.field, explanation.value, explanation.fold)?;
    match &explanation.snapshot {
        Some(part) => writeln!(out, "  snapshot: {}", part.value)?,
        None if explanation.events.is_empty() => writeln!(out, "  no event gave a value")?,
        None => {}
    }
    let skipped = explanation.events.len().saturating_sub(EVENTS_SHOWN);
    if skipped > 0 {
        writeln!(out, "  {} (--json has them all)", counted(skipped as u64, "earlier event", "earlier events"))?;
    }
    for cause in &explanation.events[skipped..] {
        writeln!(out, "  {}  {}  {}  gives {}", utc(cause.timestamp), cause.kind, cause.id, cause.gives)?;
    }
    let unseen = explanation.tail_values - explanation.shows;
    if unseen > 0 {
        writeln!(out, "  {} with a value that does not show", counted(unseen, "further event", "further events"))?;
    }
    Ok(())
}
