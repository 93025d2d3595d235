//! Functions that are asked for keys: by messages of a queue, or by hand.

use serde::Serialize;
use serde_json::value::RawValue;

use super::payload::{Asked, NotForThis, Payload, asked};
use super::{BatchAnswer, Failed, Invocation};
use crate::meter::Metric;

const EXPECTED: &str = "an event of SQS with `Records`, or `{\"key\": \"…\"}`";

/// What became of the keys.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer<T> {
    /// Of a mapping.
    Batch(BatchAnswer),
    /// By hand: what became of each.
    Keys(Vec<T>),
}

/// Does each key that a payload asks for.
pub(super) async fn each_key<T>(
    payload: &[u8],
    invocation: &Invocation,
    one: impl AsyncFn(&str) -> Result<T, Failed>,
) -> Result<Answer<T>, Failed> {
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

/// Does each message's key once; what failed comes again.
async fn each_asked<T>(
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
