//! `snapshot`: closes what can no longer be preceded by a late event, and asks for a trim.

use millpond_core::process::snapshot;
use millpond_core::snapshot::Closing;
use serde::Serialize;

use super::asked::{Answer, each_key};
use super::{Deployment, Failed, Invocation, Snapshots};
use crate::meter::Metric;

/// What became of a key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshotted {
    key: String,
    /// Whether there is a new snapshot.
    closed: bool,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// Events in the snapshot now, and left in the tail; if it was looked at.
    #[serde(flatten)]
    counts: Option<Counts>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    events: u64,
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
    let why_not = match deployment.snapshots {
        Snapshots::Off => Some("snapshots are off"),
        Snapshots::Since(since) => (now < since.saturating_add(deployment.margin_ms))
            .then_some("snapshots were switched on less than the margin ago"),
    };
    if why_not.is_some() {
        tracing::warn!(key, why_not, "no snapshot");
        return Ok(Snapshotted { key: key.to_owned(), closed: false, why: why_not, counts: None });
    }
    let done = snapshot::snapshot(&store, &deployment.join, key, now, Closing::Elapsed).await?;
    let snapshot::Snapshotted { closed, trim_due, events, tail_events } = done;
    if closed {
        invocation.meter.add(Metric::Snapshot, 1);
        tracing::info!(key, events, tail = tail_events, "snapshot");
    }
    if trim_due {
        deployment.queues(invocation).ask_trim(key, &invocation.pace).await?;
    }
    let why = (!closed).then_some(match tail_events {
        _ if trim_due && events == 0 => "what came again of an erased key goes first: a trim is asked for",
        0 => "there are no events that are not in it",
        _ => "no event in the tail is older than `lateness` and the margin",
    });
    Ok(Snapshotted { key: key.to_owned(), closed, why, counts: Some(Counts { events, tail_events }) })
}
