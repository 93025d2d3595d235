//! What is stored of keys, and whether it is right.

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use millpond_core::explain::explain as explained;
use millpond_core::process::{Error, verified};
use millpond_core::store::Store;
use millpond_core::{Join, View};
use serde_json::json;

use super::session::Session;
use crate::items;

/// What a command ends with when a key has no view.
const NOT_FOUND: u8 = 4;
/// What `verify` ends with when it finds a difference.
const DIFFERENT: u8 = 3;

pub(super) async fn view(session: &Session, key: &str, all: bool) -> Result<ExitCode> {
    let invocation = session.invocation();
    let store = session.deployment.store(&invocation).that_heals();
    let view = store.view(key).await?;
    let Some(view) = view.filter(|view| all || !view.is_erased()) else {
        eprintln!("there is no view of key `{key}`");
        return Ok(ExitCode::from(NOT_FOUND));
    };
    is_of_this_definition(&session.deployment.join, key, &view)?;
    let document = view.state.document(&session.deployment.join, key);
    if !all {
        println!("{document}");
        return Ok(ExitCode::SUCCESS);
    }
    let document: serde_json::Value = serde_json::from_str(&document)?;
    let snapshot = view.snapshot.as_ref().map(|snapshot| {
        json!({"through": snapshot.through.to_string(), "events": snapshot.events, "closedAt": snapshot.closed_at})
    });
    let beside = json!({
        "document": document,
        "version": view.version,
        "fingerprint": view.fingerprint.to_string(),
        "events": view.events,
        "foldedTo": view.folded_to.to_string(),
        "snapshot": snapshot,
        "trimmedTo": view.trimmed_to.as_ref().map(ToString::to_string),
        "behind": view.behind,
    });
    println!("{}", serde_json::to_string_pretty(&beside)?);
    Ok(ExitCode::SUCCESS)
}

/// Of a view that another definition has made, nothing can be said by this one.
fn is_of_this_definition(join: &Join, key: &str, view: &View) -> Result<()> {
    let (made, ours) = (view.fingerprint, join.fingerprint());
    ensure!(
        made == ours,
        "the view of key `{key}` was made by another definition ({made}, and not {ours}): `millpond-aws refold {key}` makes it anew"
    );
    Ok(())
}

/// Prints why each field is what it is, or one of them.
pub(super) async fn explain(session: &Session, key: &str, field: Option<&str>) -> Result<ExitCode> {
    let invocation = session.invocation();
    let store = session.deployment.store(&invocation).that_heals();
    let join = &session.deployment.join;
    if let Some(field) = field
        && !join.shown_fields().any(|(_, shown)| shown.name == field)
    {
        bail!("the join {} has no field `{field}`", join.name());
    }
    let Some(view) = store.view(key).await?.filter(|view| !view.is_erased()) else {
        eprintln!("there is no view of key `{key}`");
        return Ok(ExitCode::from(NOT_FOUND));
    };
    is_of_this_definition(&session.deployment.join, key, &view)?;
    let mut tail = Vec::new();
    let mut after = view.through().cloned();
    loop {
        // What is younger is not in it yet.
        let page = store.rows(key, after.as_ref(), Some(&view.folded_to)).await?;
        after = page.rows.last().map(|row| row.position.clone());
        tail.extend(page.rows);
        if !page.more {
            break;
        }
    }
    for explanation in explained(join, &view, &tail)? {
        if field.is_none_or(|field| field == explanation.field) {
            println!("{}", serde_json::to_string(&explanation)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn events(session: &Session, key: &str) -> Result<()> {
    let invocation = session.invocation();
    let store = session.deployment.store(&invocation);
    let mut after = None;
    loop {
        let page = store.rows(key, after.as_ref(), None).await?;
        for row in &page.rows {
            let event: Box<serde_json::value::RawValue> = serde_json::from_str(&row.body)?;
            println!("{}", json!({"position": row.position.to_string(), "putAt": row.put_at, "event": event}));
        }
        after = page.rows.last().map(|row| row.position.clone());
        if !page.more {
            return Ok(());
        }
    }
}

pub(super) async fn verify(session: &Session, key: Option<&str>) -> Result<ExitCode> {
    let (mut keys, mut differences) = (0_u64, 0_u64);
    let mut one = async |key: &str| -> Result<()> {
        let invocation = session.invocation();
        let store = session.deployment.store(&invocation).that_heals();
        keys += 1;
        match verified(&store, &session.deployment.join, key).await {
            Ok(found) => {
                differences += found.len() as u64;
                for found in found {
                    println!("{key}: {}: stored {}, events say {}", found.what, found.stored, found.refolded);
                }
                Ok(())
            }
            Err(Error::Store(error)) => Err(error.into()),
            Err(error) => {
                differences += 1;
                println!("{error}");
                Ok(())
            }
        }
    };
    match key {
        Some(key) => one(key).await?,
        None => {
            let mut start = None;
            loop {
                let invocation = session.invocation();
                let (page, next) = session.deployment.store(&invocation).view_items(start).await?;
                for key in page.iter().filter_map(|item| items::view_key(item)) {
                    one(key).await?;
                }
                start = next;
                if start.is_none() {
                    break;
                }
            }
        }
    }
    println!("{}", json!({"keys": keys, "differences": differences}));
    Ok(if differences == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

#[cfg(test)]
mod tests {
    use millpond_core::view::Folded;

    use super::*;

    /// A view that a changed definition had not folded yet was shown as one of no events.
    #[test]
    fn the_view_of_another_definition_is_not_shown_as_an_empty_one() {
        let of = |field: &str| {
            let text = format!("name = 'j'\nlateness = '1h'\n[key]\na = 'k'\n[view]\n{field} = {{ count = 'a' }}");
            Join::parse(&text).expect("the definition is right")
        };
        let (old, new) = (of("n"), of("m"));
        let view = View::unstored(&old, Folded::from_snapshot(&old, None), None);
        is_of_this_definition(&old, "u1", &view).expect("it is its own");
        let told = is_of_this_definition(&new, "u1", &view).expect_err("it is another's").to_string();
        assert!(told.contains("`millpond-aws refold u1`"), "{told}");
    }
}
