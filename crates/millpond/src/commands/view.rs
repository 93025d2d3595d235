//! `millpond view` and `millpond events`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::Views;

use super::place::{Place, each_page};
use crate::cli::{OfKey, View};
use crate::output::{one_line, stdout};

pub(super) fn view(args: &View) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    let mut out = stdout();
    if let Some(key) = &args.key {
        writeln!(out, "{}", join.document(key, args.at)?)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let which = Views { prefix: args.prefix.clone(), conditions: args.conditions.clone(), page: None };
    each_page(
        |after| join.documents(&which, after),
        |documents| {
            for document in documents {
                writeln!(out, "{document}")?;
            }
            Ok(())
        },
    )?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn events(args: &OfKey) -> Result<ExitCode> {
    let place = Place::open(&args.target)?;
    let join = place.join(&args.target, &args.join)?;
    let mut out = stdout();
    let mut after = None;
    let (gone, up_to) = loop {
        let page = join.history(&args.key, after.as_deref())?;
        for event in &page.events {
            writeln!(out, "{}", one_line(&serde_json::to_string(event)?))?;
        }
        after = page.next;
        if after.is_none() {
            break (page.trimmed, page.trimmed_to);
        }
    };
    out.flush()?;
    if gone > 0 {
        let up_to = up_to.map_or(String::new(), |up_to| format!(", up to {up_to},"));
        eprintln!("millpond: {gone} earlier events{up_to} are trimmed; the snapshot holds them");
    }
    Ok(ExitCode::SUCCESS)
}
