//! `millpond check`: a definition's plan and bounds, or its faults.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire::{FieldInfo, JoinInfo};
use millpond_core::Fault;
use serde_json::{Value, json};

use super::definition;
use super::place::Server;
use crate::cli::Check;
use crate::exit::{BadDefinition, WRONG};
use crate::http::info;
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
    let join = info(&join);
    match args.json {
        true => writeln!(out, "{}", plan(&join))?,
        false => print(&mut out, &join)?,
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

/// Types that are joined, and counted in a view's events, but that no field shows.
fn unfolded(join: &JoinInfo) -> Vec<&str> {
    let folded = |kind: &String| join.fields.iter().any(|field| field.of.contains(kind));
    join.types.iter().filter(|kind| !folded(kind)).map(String::as_str).collect()
}

fn plan(join: &JoinInfo) -> Value {
    let field = |field: &FieldInfo| {
        json!({
            "name": field.name,
            "fold": field.fold,
            "of": field.of,
            "value": field.value,
            "where": field.condition,
            "default": field.default,
            "bound": field.bound,
        })
    };
    let fields: Vec<Value> = join.fields.iter().map(field).collect();
    let types: serde_json::Map<String, Value> =
        join.keys.iter().map(|key| (key.kind.clone(), json!(key.paths))).collect();
    json!({
        "name": join.name,
        "fingerprint": join.fingerprint,
        "lateness_ms": join.lateness_ms,
        "snapshot_every": join.snapshot_every,
        "key": types,
        "view": fields,
        "unfolded_types": unfolded(join),
    })
}

fn print(out: &mut impl Write, join: &JoinInfo) -> Result<()> {
    writeln!(out, "{}: valid (fingerprint {})", join.name, join.fingerprint)?;
    writeln!(
        out,
        "  events join up to {} after their timestamp; a snapshot is asked for after {}",
        span(join.lateness_ms),
        counted(join.snapshot_every, "event", "events")
    )?;
    writeln!(out, "keys")?;
    for key in &join.keys {
        writeln!(out, "  {}: {}", key.kind, key.paths.join(", "))?;
    }
    writeln!(out, "view")?;
    for field in &join.fields {
        let value = field.value.as_ref().map_or(String::new(), |value| format!(" {value}"));
        let bound = field.bound.map_or(String::new(), |bound| format!(", at most {bound}"));
        let condition = field.condition.as_ref().map_or(String::new(), |condition| format!(", where {condition}"));
        let default = field.default.as_ref().map_or(String::new(), |default| format!(", else {default}"));
        writeln!(out, "  {}: {}{value} of {}{bound}{condition}{default}", field.name, field.fold, field.of.join(", "))?;
    }
    for name in unfolded(join) {
        writeln!(out, "note: `{name}` is joined, but no field folds it")?;
    }
    Ok(())
}
