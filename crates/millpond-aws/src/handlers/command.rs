//! `command`: puts events on the stream: those it is given, or the sample events of the pattern.

use millpond_core::Reason;
use millpond_core::process::consumer::{Read, read};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::payload::NotForThis;
use super::{Deployment, Failed, Invocation};
use crate::aws::stream::{Entry, put};
use crate::samples::{Sample, samples};

const EXPECTED: &str = "`{\"events\": [{…}]}`, or `{\"sample\": \"seed\" | \"login\" | \"order\"}`";

#[derive(Deserialize)]
struct Request<'r> {
    #[serde(default)]
    sample: Option<Sample>,
    #[serde(borrow, default)]
    events: Vec<&'r RawValue>,
}

/// What became of the events.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Events on the stream.
    put: usize,
    /// Events that no consumer could take, by their index, and why: they were not put.
    refused: Vec<Refused>,
}

/// An event that was not put.
#[derive(Debug, Serialize)]
pub struct Refused {
    index: usize,
    reason: &'static str,
    detail: String,
}

pub(super) async fn command(
    deployment: &Deployment,
    payload: &[u8],
    invocation: &Invocation,
) -> Result<Answer, Failed> {
    let fault = |found| NotForThis { expected: EXPECTED, found };
    let Request { sample, events } = serde_json::from_slice(payload).map_err(|found| fault(Some(found)))?;
    let now = (invocation.now)();
    let mut texts: Vec<String> = events.iter().map(|event| event.get().to_owned()).collect();
    texts.extend(sample.into_iter().flat_map(|sample| samples(sample, now)));
    if texts.is_empty() {
        return Err(fault(None).into());
    }
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match entry(deployment, text, now) {
            Ok(entry) => entries.push(entry),
            Err((reason, detail)) => refused.push(Refused { index, reason: reason.code(), detail }),
        }
    }
    let count = entries.len();
    put(&deployment.clients.kinesis, &deployment.stream, entries, &invocation.pace).await?;
    Ok(Answer { put: count, refused })
}

/// An event with what it is spread over shards by: its first key.
pub(crate) fn entry(deployment: &Deployment, text: &str, now: u64) -> Result<Entry, (Reason, String)> {
    let partition_key = match read(&deployment.join, text.as_bytes(), now) {
        Ok(Read::Joins(event, _, keys)) => {
            keys.iter().next().map_or_else(|| event.id.to_string(), |key| key.to_string())
        }
        Ok(Read::Ignored(event)) => event.id.to_string(),
        Err(rejection) => return Err((rejection.reason, rejection.detail)),
    };
    Ok(Entry { partition_key, data: text.as_bytes().to_vec() })
}
