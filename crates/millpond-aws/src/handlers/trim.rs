//! `trim`: deletes the rows that a durable snapshot covers, after they are archived if so asked.

use std::cell::Cell;

use millpond_core::process::trim;
use millpond_core::store::Row;
use serde::Serialize;
use serde_json::value::RawValue;

use super::payload::{Asked, NotForThis, Payload, asked};
use super::{BatchAnswer, Deployment, Failed, Invocation};
use crate::archive::archive;
use crate::meter::Metric;

const EXPECTED: &str = "an event of SQS with `Records`, or `{\"key\": \"…\"}`";

/// What became of the keys.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of a mapping.
    Batch(BatchAnswer),
    /// By hand.
    Keys(Vec<Trimmed>),
}

/// What became of a key.
#[derive(Debug, Serialize)]
pub struct Trimmed {
    key: String,
    /// Rows deleted.
    deleted: u64,
    /// Rows that were not, for now.
    left: u64,
    /// Rows archived before.
    archived: u64,
}

pub(super) async fn trim(deployment: &Deployment, payload: &[u8], invocation: &Invocation) -> Result<Answer, Failed> {
    let one = async |key: &str| delete(deployment, key, invocation).await;
    match Payload::read(payload, EXPECTED)? {
        Payload::Records(records) => Ok(Answer::Batch(each_asked(&records, invocation, one).await)),
        Payload::Keys(keys) if keys.is_empty() => Err(NotForThis { expected: EXPECTED, found: None }.into()),
        Payload::Keys(keys) => {
            let mut done = Vec::new();
            for key in keys {
                done.push(one(&key).await?);
            }
            Ok(Answer::Keys(done))
        }
    }
}

async fn delete(deployment: &Deployment, key: &str, invocation: &Invocation) -> Result<Trimmed, Failed> {
    let store = deployment.store(invocation);
    let archived = Cell::new(0);
    let trim::Trimmed { deleted, left } = if deployment.archive {
        let keep = async |rows: &[Row]| {
            archive(deployment, key, rows, invocation).await?;
            archived.set(archived.get() + rows.len() as u64);
            Ok(())
        };
        trim::trim_archived(&store, key, keep).await?
    } else {
        trim::trim(&store, key).await?
    };
    let archived = archived.get();
    invocation.meter.add(Metric::Trimmed, deleted);
    tracing::info!(key, deleted, left, archived, "trim");
    Ok(Trimmed { key: key.to_owned(), deleted, left, archived })
}

/// Does each message's key once; what failed comes again.
pub(super) async fn each_asked<T>(
    records: &[&RawValue],
    invocation: &Invocation,
    one: impl AsyncFn(&str) -> Result<T, Failed>,
) -> BatchAnswer {
    let mut keys: Vec<(String, Vec<String>)> = Vec::new();
    let mut failed = Vec::new();
    for record in records {
        match asked(record) {
            Ok(Asked { key: Ok(key), message_id }) => match keys.iter_mut().find(|(known, _)| *known == key) {
                Some((_, message_ids)) => message_ids.push(message_id),
                None => keys.push((key, vec![message_id])),
            },
            // It goes to the dead letters, where it can be seen.
            Ok(Asked { key: Err(fault), message_id }) => {
                tracing::error!(fault, message_id, "a message names no key");
                failed.push(message_id);
            }
            Err(fault) => tracing::error!(fault, "a record is no message"),
        }
    }
    for (key, message_ids) in keys {
        if let Err(error) = one(&key).await {
            tracing::error!(key, %error, "not done; it comes again");
            failed.extend(message_ids);
        }
    }
    invocation.meter.add(Metric::Failed, failed.len() as u64);
    BatchAnswer::of(failed)
}
