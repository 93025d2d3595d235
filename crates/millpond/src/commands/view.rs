//! `millpond view` and `millpond events`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_core::json::quoted;
use millpond_store::KeyView;

use super::open;
use crate::cli::{OfKey, View};
use crate::exit::NotFound;
use crate::output::{one_line, stdout};

/// Views read at once.
const PAGE: usize = 1_000;

pub(super) fn view(args: &View) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let mut out = stdout();
    if let Some(key) = &args.key {
        let document = store.document(key)?.ok_or_else(|| no_view(&args.join, key))?;
        writeln!(out, "{document}")?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut after: Option<String> = None;
    loop {
        let page = store.documents(&args.prefix, after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (_, document) in &page {
            writeln!(out, "{document}")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn events(args: &OfKey) -> Result<ExitCode> {
    let (_folder, store) = open(&args.data, &args.join)?;
    let KeyView { view, .. } = store.key_view(&args.key)?.ok_or_else(|| no_view(&args.join, &args.key))?;
    let rows = store.rows(&args.key)?;
    let mut out = stdout();
    for row in &rows {
        let covered = view.through().is_some_and(|through| row.position <= *through);
        writeln!(
            out,
            "{{\"timestamp\":{},\"id\":{},\"put_at\":{},\"in_snapshot\":{covered},\"event\":{}}}",
            row.position.timestamp,
            quoted(&row.position.id),
            row.put_at,
            one_line(&row.body)
        )?;
    }
    out.flush()?;
    if let Some(trimmed_to) = &view.trimmed_to {
        let gone = view.events - rows.len() as u64;
        eprintln!("millpond: {gone} earlier events, up to {trimmed_to}, are trimmed; the snapshot holds them");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn no_view(join: &str, key: &str) -> NotFound {
    NotFound(format!("`{join}` has no view of key `{key}`: no event of it was joined"))
}
