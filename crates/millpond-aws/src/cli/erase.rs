//! `erase`: removes a key wherever it is, and says what only expires.

use anyhow::{Result, bail};
use serde_json::json;

use super::deploy::confirmed;
use super::given_up::for_each;
use super::queue::{Fate, Whole, each, whole};
use super::remove::delete_objects;
use super::session::Session;
use crate::archive::folder;
use crate::aws::queues::QueueUrls;
use crate::erase::{Erased, erase as erase_tables};
use crate::given_up::{names, read};
use crate::handlers::Deployment;

pub(super) async fn erase(session: &Session, key: &str, yes: bool) -> Result<()> {
    if !yes && !confirmed(&format!("remove all of key `{key}` from {}?", session.stacks.name()))? {
        bail!("nothing was removed");
    }
    let invocation = session.invocation();
    let Erased { view, snapshot, rows, .. } = erase_tables(&session.deployment, key, &invocation).await?;
    let Deployment { clients, bucket, .. } = &session.deployment;
    let archived = delete_objects(&clients.s3, bucket, &folder(key)).await?;
    let QueueUrls { late, quarantine, .. } = &session.deployment.queues;
    let late = delete_messages(session, late, key).await?;
    let quarantined = delete_messages(session, quarantine, key).await?;
    let mut dead_letters = 0;
    for output in ["SnapshotDeadLetters", "TrimDeadLetters"] {
        if let Some(url) = session.outputs.get(output) {
            dead_letters += delete_messages(session, url, key).await?;
        }
    }
    let retention = session.parameters.get("RetentionHours").map_or("24", String::as_str);
    let mut report = json!({
        "key": key,
        "view": view,
        "snapshot": snapshot,
        "events": rows,
        "archivedObjects": archived,
        "late": late,
        "quarantined": quarantined,
        "deadLetters": dead_letters,
        "expires": {
            "stream": format!("{retention} hours after an event was put"),
            "changeStream": "24 hours",
            "pointInTimeRecovery": "35 days",
            "logs": "30 days; they have keys, and no events",
        },
        "kept": "an item with the key alone, so that a record that comes again does not bring it back",
    });
    let given_up = given_up_with(session, key).await?;
    if !given_up.is_empty() {
        report["stillIn"] = json!(given_up);
        report["stillInWhy"] = json!("batches that a mapping gave up: do them by `given-up --retry`, then erase again");
    }
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// Deletes the messages that are of the key, or whose event names it.
async fn delete_messages(session: &Session, url: &str, key: &str) -> Result<u64> {
    let mut deleted = 0;
    each(session, url, async |message| {
        let Whole { text, object } = whole(session, message).await?;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if value["key"] != key && !names(value["text"].as_str().unwrap_or_default(), key) {
            return Ok(Fate::Stays);
        }
        if let Some(object) = object {
            delete_objects(&session.deployment.clients.s3, &session.deployment.bucket, &object).await?;
        }
        deleted += 1;
        Ok(Fate::Goes)
    })
    .await?;
    Ok(deleted)
}

/// The objects of batches that were given up and have the key in them.
async fn given_up_with(session: &Session, key: &str) -> Result<Vec<String>> {
    let mut with = Vec::new();
    for_each(session, async |name, object| {
        // What cannot be read may have it.
        if read(&session.deployment, object).is_ok_and(|batch| !batch.has(key)) {
            return Ok(());
        }
        with.push(name.to_owned());
        Ok(())
    })
    .await?;
    Ok(with)
}
