//! `snapshot`: closes what can no longer be preceded by a late event, and asks for a trim.

use millpond_core::process::snapshot;
use millpond_core::snapshot::Closing;
use serde::Serialize;

use super::asked::{Answer, each_key};
use super::{Deployment, Failed, Invocation, Snapshots};
use crate::meter::Metric;

/// What became of a key.
#[derive(Debug, Serialize)]
pub struct Snapshotted {
    key: String,
    /// Whether there is a new snapshot.
    closed: bool,
    /// Events in the snapshot now.
    events: u64,
    /// Rows left in the tail.
    tail_events: u64,
}

pub(super) async fn snapshot(
    deployment: &Deployment,
    payload: &[u8],
    invocation: &Invocation,
) -> Result<Answer<Snapshotted>, Failed> {
    each_key(payload, invocation, async |key: &str| close(deployment, key, invocation).await).await
}

async fn close(deployment: &Deployment, key: &str, invocation: &Invocation) -> Result<Snapshotted, Failed> {
    let store = deployment.store(invocation);
    let now = (invocation.now)();
    // What was accepted at any age before may still be under way.
    let may_close = match deployment.snapshots {
        Snapshots::Off => false,
        Snapshots::Since(since) => now >= since.saturating_add(deployment.margin_ms),
    };
    if !may_close {
        tracing::warn!(key, "snapshots are off, or were switched on less than the margin ago");
        return Ok(Snapshotted { key: key.to_owned(), closed: false, events: 0, tail_events: 0 });
    }
    let done = snapshot::snapshot(&store, &deployment.join, key, now, Closing::Elapsed).await?;
    if done.closed {
        invocation.meter.add(Metric::Snapshot, 1);
        tracing::info!(key, events = done.events, tail = done.tail_events, "snapshot");
        deployment.queues(invocation).ask_trim(key, &invocation.pace).await?;
    }
    let snapshot::Snapshotted { closed, events, tail_events } = done;
    Ok(Snapshotted { key: key.to_owned(), closed, events, tail_events })
}
