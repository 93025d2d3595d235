//! `millpond check`: a definition's plan and bounds, or its faults.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_core::{Fault, Field, Fold, Join, TypeIndex};
use serde_json::{Value, json};

use super::definition;
use super::place::Server;
use crate::cli::Check;
use crate::exit::{BadDefinition, WRONG};
use crate::output::{counted, span, stdout};

pub(super) fn check(args: &Check) -> Result<ExitCode> {
    let mut out = stdout();
    let join = match definition(&args.definition) {
        Err(error) if args.json => match error.downcast_ref::<BadDefinition>() {
            Some(bad) => return faults(&mut out, bad),
            None => return Err(error),
        },
        read => read?,
    };
    if let Some(url) = &args.server {
        let server = Server::at(url, &args.credentials)?;
        server.wait(server.client.check(join.source_text()))?;
    }
    if args.json {
        writeln!(out, "{}", plan(&join))?;
    } else {
        print(&mut out, &join)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The faults as JSON: an editor wants them too.
fn faults(out: &mut impl Write, bad: &BadDefinition) -> Result<ExitCode> {
    let fault = |fault: &Fault| json!({"line": fault.line, "column": fault.column, "message": fault.message});
    let faults: Vec<Value> = bad.faults.0.iter().map(fault).collect();
    writeln!(out, "{}", json!({"faults": faults}))?;
    out.flush()?;
    Ok(ExitCode::from(WRONG))
}

fn kinds(join: &Join) -> impl Iterator<Item = (TypeIndex, &str)> {
    join.type_names().filter_map(|name| Some((join.type_index(name)?, name)))
}

fn key_paths(join: &Join, kind: TypeIndex) -> Vec<String> {
    join.key_sources(kind).iter().map(|source| join.shown(source)).collect()
}

fn types_of<'j>(join: &'j Join, field: &Field) -> Vec<&'j str> {
    field.of.iter().map(|kind| join.type_name(*kind)).collect()
}

/// Types that are joined, and counted in a view's events, but that no field shows.
fn unfolded(join: &Join) -> Vec<&str> {
    let folded = |kind: &TypeIndex| join.fields().iter().any(|field| field.of.contains(kind));
    kinds(join).filter(|(kind, _)| !folded(kind)).map(|(_, name)| name).collect()
}

fn bound(field: &Field) -> Option<u32> {
    match field.fold {
        Fold::List { last } => Some(last),
        Fold::Set { max } => Some(max),
        _ => None,
    }
}

fn plan(join: &Join) -> Value {
    let fields: Vec<Value> = join
        .shown_fields()
        .map(|(_, field)| {
            json!({
                "name": field.name,
                "fold": field.fold.name(),
                "of": types_of(join, field),
                "value": field.value.as_ref().map(|source| join.shown(source)),
                "where": field.condition.as_ref().map(millpond_core::condition::Condition::source),
                "default": field.default.as_ref().and_then(|text| serde_json::from_str::<Value>(text.as_str()).ok()),
                "bound": bound(field),
            })
        })
        .collect();
    let types: serde_json::Map<String, Value> =
        kinds(join).map(|(kind, name)| (name.to_owned(), json!(key_paths(join, kind)))).collect();
    json!({
        "name": join.name(),
        "fingerprint": join.fingerprint().to_string(),
        "lateness_ms": join.lateness_ms(),
        "snapshot_every": join.snapshot_every(),
        "key": types,
        "view": fields,
        "unfolded_types": unfolded(join),
    })
}

fn print(out: &mut impl Write, join: &Join) -> Result<()> {
    writeln!(out, "{}: valid (fingerprint {})", join.name(), join.fingerprint())?;
    writeln!(
        out,
        "  events join up to {} after their timestamp; a snapshot is asked for after {}",
        span(join.lateness_ms()),
        counted(join.snapshot_every(), "event", "events")
    )?;
    writeln!(out, "keys")?;
    for (kind, name) in kinds(join) {
        writeln!(out, "  {name}: {}", key_paths(join, kind).join(", "))?;
    }
    writeln!(out, "view")?;
    for (_, field) in join.shown_fields() {
        let value = field.value.as_ref().map_or(String::new(), |source| format!(" {}", join.shown(source)));
        let bound = bound(field).map_or(String::new(), |bound| format!(", at most {bound}"));
        let condition =
            field.condition.as_ref().map_or(String::new(), |condition| format!(", where {}", condition.source()));
        let default = field.default.as_ref().map_or(String::new(), |default| format!(", else {}", default.as_str()));
        let of = types_of(join, field).join(", ");
        writeln!(out, "  {}: {}{value} of {of}{bound}{condition}{default}", field.name, field.fold.name())?;
    }
    for name in unfolded(join) {
        writeln!(out, "note: `{name}` is joined, but no field folds it")?;
    }
    Ok(())
}
