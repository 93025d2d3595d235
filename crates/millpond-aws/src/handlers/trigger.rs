//! `trigger`: brings the views of the keys up to date whose rows are new; one read and one write a
//! key, however many there are.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use millpond_core::process::Error as Unfinished;
use millpond_core::process::trigger::{self, Triggered};
use millpond_core::store::Row;

use super::consumer::keep;
use super::payload::{Change, Payload, change};
use super::{BatchAnswer, CONCURRENCY, Deployment, Failed, Invocation};
use crate::aws::error::Error;
use crate::meter::Metric;

const EXPECTED: &str = "an event of a DynamoDB stream with `Records`, or `{\"key\": \"…\"}`";

/// The new rows of a key, and what they are given back by.
#[derive(Default)]
struct New {
    rows: Vec<Row>,
    sequence_numbers: Vec<String>,
}

pub(super) async fn trigger(
    deployment: &Deployment,
    payload: &[u8],
    invocation: &Invocation,
) -> Result<BatchAnswer, Failed> {
    let records = match Payload::read(payload, EXPECTED)? {
        Payload::Records(records) => records,
        Payload::Keys(keys) => {
            for key in keys {
                let store = deployment.store(invocation).that_heals();
                let done = trigger::refold(&store, &deployment.join, &key).await?;
                tell(deployment, &key, &done, invocation).await?;
            }
            return Ok(BatchAnswer::default());
        }
    };
    let mut new: BTreeMap<String, New> = BTreeMap::new();
    for record in records {
        match change(record) {
            Ok(Change::Inserted { key, row, sequence_number }) => {
                invocation.meter.highest(Metric::Lag, (invocation.now)().saturating_sub(row.put_at));
                let New { rows, sequence_numbers } = new.entry(key).or_default();
                rows.push(row);
                sequence_numbers.push(sequence_number);
            }
            Ok(Change::Other) => {}
            // It would be the same the next time.
            Err(fault) => keep(deployment, record, &fault, invocation).await?,
        }
    }
    let failed: Vec<Vec<String>> = stream::iter(new)
        .map(|(key, new)| async move {
            match bring(deployment, &key, &new.rows, invocation).await {
                Ok(()) => Vec::new(),
                Err(error) => {
                    tracing::error!(key, %error, "a view was not brought up to date; its rows come again");
                    new.sequence_numbers
                }
            }
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let failed: Vec<String> = failed.into_iter().flatten().collect();
    invocation.meter.add(Metric::Failed, failed.len() as u64);
    Ok(BatchAnswer::of(failed))
}

async fn bring(
    deployment: &Deployment,
    key: &str,
    rows: &[Row],
    invocation: &Invocation,
) -> Result<(), Unfinished<Error>> {
    let store = deployment.store(invocation);
    match trigger::trigger(&store, &deployment.join, key, rows).await {
        Ok(done) => Ok(tell(deployment, key, &done, invocation).await?),
        // Coming again would help neither; the rows are kept, and the view is known to be behind.
        Err(Unfinished::Store(error @ Error::Overflow { .. })) => {
            tracing::error!(key, %error, "overflow");
            invocation.meter.add(Metric::Overflow, 1);
            Ok(())
        }
        Err(error @ Unfinished::Incomplete { .. }) => {
            tracing::error!(key, %error, "incomplete");
            invocation.meter.add(Metric::Incomplete, 1);
            Ok(store.mark_behind(key).await?)
        }
        Err(error) => Err(error),
    }
}

/// Counts what was done, and asks for what is due next.
async fn tell(deployment: &Deployment, key: &str, done: &Triggered, invocation: &Invocation) -> Result<(), Error> {
    let Invocation { meter, pace, .. } = invocation;
    if done.written {
        tracing::debug!(key, refolded = done.refolded, conflicts = done.conflicts, "written");
        meter.add(if done.refolded { Metric::Refold } else { Metric::Fast }, 1);
    }
    if let Some(closed_at) = done.closed_at {
        meter.value(Metric::SnapshotAge, (invocation.now)().saturating_sub(closed_at));
    }
    meter.add(Metric::Conflict, done.conflicts);
    meter.add(Metric::MarginBreach, done.breaches);
    if done.diverged {
        meter.add(Metric::Divergence, 1);
        tracing::error!(key, "the view was not what its events say; it is now");
    }
    if done.breaches > 0 {
        tracing::error!(key, rows = done.breaches, "rows were written after their place was closed: they are late");
    }
    let queues = deployment.queues(invocation);
    if done.wants_snapshot && deployment.snapshots != super::Snapshots::Off {
        queues.ask_snapshot(key, pace).await?;
    }
    if done.erased > 0 {
        tracing::warn!(key, rows = done.erased, "rows of an erased key came again");
        queues.ask_trim(key, pace).await?;
    }
    Ok(())
}
