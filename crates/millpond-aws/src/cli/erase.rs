//! `erase`: removes a key wherever it is, and says what only expires.

use anyhow::{Result, bail};
use serde_json::json;

use super::deploy::confirmed;
use super::queue::{Fate, body, each};
use super::remove::delete_objects;
use super::session::Session;
use crate::archive::folder;
use crate::erase::{Erased, erase as erase_tables};
use crate::handlers::Deployment;

pub(super) async fn erase(session: &Session, key: &str, yes: bool) -> Result<()> {
    if !yes && !confirmed(&format!("remove all of key `{key}` from {}?", session.stacks.name()))? {
        bail!("nothing was removed");
    }
    let invocation = session.invocation();
    let Erased { view, snapshot, rows } = erase_tables(&session.deployment, key, &invocation).await?;
    let Deployment { clients, bucket, .. } = &session.deployment;
    let archived = delete_objects(&clients.s3, bucket, &folder(key)).await?;
    let late = delete_messages(session, &session.deployment.queues.late, key).await?;
    let quarantined = delete_messages(session, &session.deployment.queues.quarantine, key).await?;
    let report = json!({
        "key": key,
        "view": view,
        "snapshot": snapshot,
        "events": rows,
        "archivedObjects": archived,
        "late": late,
        "quarantined": quarantined,
        "expires": {
            "stream": format!("{} hours after it was put", session.parameters.get("RetentionHours").map_or("24", |hours| hours)),
            "changeStream": "24 hours",
            "pointInTimeRecovery": "35 days",
            "logs": "30 days; they have keys, and no events",
            "givenUpBatches": "objects under aws/lambda/ in the bucket are not searched: delete them when they are dealt with",
        },
        "kept": "an item with the key alone, so that a record that comes again does not bring it back",
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// Deletes the messages that are of the key, or whose event names it.
async fn delete_messages(session: &Session, url: &str, key: &str) -> Result<u64> {
    let mut deleted = 0;
    each(session, url, async |message| {
        let text = body(session, message).await?;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let is_of_key = value["key"] == key || names(value["text"].as_str().unwrap_or_default(), key);
        deleted += u64::from(is_of_key);
        Ok(if is_of_key { Fate::Goes } else { Fate::Stays })
    })
    .await?;
    Ok(deleted)
}

/// Whether a text has the key as one of its JSON strings.
fn names(text: &str, key: &str) -> bool {
    text.contains(&serde_json::Value::from(key).to_string())
}
