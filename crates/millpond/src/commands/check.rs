//! `millpond check`: a definition's plan and bounds, or its faults.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_core::{Field, Fold, Join, TypeIndex};
use serde_json::{Value, json};

use super::definition;
use crate::cli::Check;
use crate::output::stdout;

pub(super) fn check(args: &Check) -> Result<ExitCode> {
    let join = definition(&args.definition)?;
    let mut out = stdout();
    if args.json {
        writeln!(out, "{}", plan(&join))?;
    } else {
        print(&mut out, &join)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
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
    writeln!(out, "{}: right (fingerprint {})", join.name(), join.fingerprint())?;
    writeln!(
        out,
        "  events join up to {} s after their timestamp; snapshots are asked for after {} events",
        join.lateness_ms() as f64 / 1000.0,
        join.snapshot_every()
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
