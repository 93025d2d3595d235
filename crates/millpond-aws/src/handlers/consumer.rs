//! `consumer`: writes each event of the stream once, or keeps it where it can be seen.

use futures_util::{StreamExt, stream};
use millpond_core::process::consumer::{Outcome, consume};
use millpond_core::store::{Quarantined, Store};
use millpond_core::{Reason, Rejection};
use serde_json::value::RawValue;

use super::payload::{NotForThis, Payload, StreamRecord, kinesis};
use super::{BatchAnswer, CONCURRENCY, Deployment, Failed, Invocation};
use crate::aws::error::Error;
use crate::kpl::user_records;
use crate::meter::Metric;

const EXPECTED: &str = "an event of Kinesis with `Records`";

pub(super) async fn consumer(
    deployment: &Deployment,
    payload: &[u8],
    invocation: &Invocation,
) -> Result<BatchAnswer, Failed> {
    let Payload::Records(records) = Payload::read(payload, EXPECTED)? else {
        return Err(NotForThis { expected: EXPECTED, found: None }.into());
    };
    let consumed: Vec<_> = stream::iter(records)
        .map(|record| take(deployment, record, invocation))
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let mut failed = Vec::new();
    for outcome in consumed {
        failed.extend(outcome?);
    }
    invocation.meter.add(Metric::Failed, failed.len() as u64);
    Ok(BatchAnswer::of(failed))
}

/// Takes a record; its sequence number, if it is to come again.
async fn take(deployment: &Deployment, record: &RawValue, invocation: &Invocation) -> Result<Option<String>, Failed> {
    let StreamRecord { data, sequence_number, put_at } = match kinesis(record) {
        Ok(record) => record,
        Err(fault) => {
            // It cannot be given back alone, and giving all back would only bring it again.
            keep(deployment, record, &fault, invocation).await?;
            return Ok(None);
        }
    };
    if let Some(put_at) = put_at {
        invocation.meter.highest(Metric::Lag, (invocation.now)().saturating_sub(put_at));
    }
    for event in user_records(&data) {
        if let Err(error) = take_event(deployment, event, invocation).await {
            tracing::error!(sequence_number, %error, "an event was not consumed; it comes again");
            return Ok(Some(sequence_number));
        }
    }
    Ok(None)
}

async fn take_event(deployment: &Deployment, event: &[u8], invocation: &Invocation) -> Result<(), Error> {
    let store = deployment.store(invocation);
    let now = (invocation.now)();
    for outcome in consume(&store, &deployment.join, event, now, deployment.boundary()).await? {
        let metric = match &outcome {
            Outcome::Accepted { key, row } => {
                tracing::debug!(%key, position = %row.position, "accepted");
                Metric::Accepted
            }
            Outcome::Duplicate => Metric::Duplicate,
            Outcome::Late => Metric::Late,
            Outcome::Quarantined(rejection) => {
                tracing::warn!(reason = rejection.reason.code(), detail = rejection.detail, "quarantined");
                Metric::Quarantined
            }
            Outcome::Ignored => Metric::Ignored,
        };
        invocation.meter.add(metric, 1);
    }
    Ok(())
}

/// Keeps a record that is none.
pub(super) async fn keep(
    deployment: &Deployment,
    record: &RawValue,
    fault: &str,
    invocation: &Invocation,
) -> Result<(), Error> {
    tracing::error!(fault, "a record cannot be read");
    let rejection = Rejection::new(Reason::BrokenInput, format!("the record cannot be read: {fault}"));
    let quarantined = Quarantined { rejection, at: (invocation.now)(), bytes: record.get().as_bytes().to_vec() };
    deployment.store(invocation).keep_quarantined(&quarantined).await?;
    invocation.meter.add(Metric::Quarantined, 1);
    Ok(())
}
