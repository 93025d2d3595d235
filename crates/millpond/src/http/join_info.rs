//! What a definition says, for those who show it: `check`, the API, and the page.

use millpond_client::wire::{FieldInfo, JoinInfo, JoinState, KeyInfo};
use millpond_core::condition::Condition;
use millpond_core::{Field, Fold, Join, TypeIndex};
use serde_json::value::RawValue;

/// A join that is served, or would be.
pub(crate) fn info(join: &Join) -> JoinInfo {
    JoinInfo {
        name: join.name().to_owned(),
        state: JoinState::Serving,
        fingerprint: join.fingerprint().to_string(),
        lateness_ms: join.lateness_ms(),
        snapshot_every: join.snapshot_every(),
        types: join.type_names().map(str::to_owned).collect(),
        keys: kinds(join).map(|(kind, name)| KeyInfo { kind: name.to_owned(), paths: paths(join, kind) }).collect(),
        fields: join.shown_fields().map(|(_, field)| field_info(join, field)).collect(),
        definition: join.source_text().to_owned(),
    }
}

fn kinds(join: &Join) -> impl Iterator<Item = (TypeIndex, &str)> {
    join.type_names().filter_map(|name| Some((join.type_index(name)?, name)))
}

fn paths(join: &Join, kind: TypeIndex) -> Vec<String> {
    join.key_sources(kind).iter().map(|source| join.shown(source)).collect()
}

fn field_info(join: &Join, field: &Field) -> FieldInfo {
    FieldInfo {
        name: field.name.clone(),
        fold: field.fold.name().to_owned(),
        of: field.of.iter().map(|kind| join.type_name(*kind).to_owned()).collect(),
        value: field.value.as_ref().map(|source| join.shown(source)),
        condition: field.condition.as_ref().map(|condition| Condition::source(condition).to_owned()),
        default: field.default.as_ref().and_then(|text| RawValue::from_string(text.as_str().to_owned()).ok()),
        bound: bound(field),
    }
}

fn bound(field: &Field) -> Option<u32> {
    match field.fold {
        Fold::List { last } => Some(last),
        Fold::Set { max } => Some(max),
        _ => None,
    }
}
