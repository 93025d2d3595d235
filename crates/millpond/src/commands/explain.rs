//! `millpond explain`: why a value is what it is.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_core::explain::{Explanation, explain as explain_view};
use millpond_store::KeyView;

use super::open;
use super::view::no_view;
use crate::cli::OfKey;
use crate::output::{counted, grouped, stdout, utc};

/// Events shown of a field that many have made; `--json` has all.
const EVENTS_SHOWN: usize = 10;

pub(super) fn explain(args: &OfKey) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let KeyView { view, tail } = store.key_view(&args.key)?.ok_or_else(|| no_view(&args.join, &args.key))?;
    let explanations = explain_view(store.join(), &view, &tail)?;
    let mut out = stdout();
    if args.data.json {
        for explanation in &explanations {
            serde_json::to_writer(&mut out, explanation)?;
            writeln!(out)?;
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let in_snapshot = view.snapshot.as_ref().map_or(0, |snapshot| snapshot.events);
    writeln!(
        out,
        "{} {}: {}, {} in the snapshot and {} after it",
        args.join,
        args.key,
        counted(view.events, "event", "events"),
        grouped(in_snapshot),
        grouped(tail.len() as u64)
    )?;
    if let Some(snapshot) = &view.snapshot {
        writeln!(out, "snapshot through {} ({})", snapshot.through, utc(snapshot.through.timestamp))?;
    }
    for explanation in &explanations {
        print(&mut out, explanation)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, explanation: &Explanation) -> Result<()> {
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
    let unseen = explanation.tail_values - explanation.events.len() as u64;
    if unseen > 0 {
        writeln!(out, "  {} with a value that does not show", counted(unseen, "further event", "further events"))?;
    }
    Ok(())
}
