//! `trim`: deletes the rows that a durable snapshot covers, after they are archived if so asked.

use std::cell::Cell;

use millpond_core::process::trim;
use millpond_core::store::Row;
use serde::Serialize;

use super::asked::{Answer, each_key};
use super::{Deployment, Failed, Invocation};
use crate::archive::archive;
use crate::meter::Metric;

/// What became of a key.
#[derive(Debug, Serialize)]
pub struct Trimmed {
    key: String,
    /// Rows deleted.
    deleted: u64,
    /// Rows archived before.
    archived: u64,
}

pub(super) async fn trim(
    deployment: &Deployment,
    payload: &[u8],
    invocation: &Invocation,
) -> Result<Answer<Trimmed>, Failed> {
    each_key(payload, invocation, async |key: &str| delete(deployment, key, invocation).await).await
}

async fn delete(deployment: &Deployment, key: &str, invocation: &Invocation) -> Result<Trimmed, Failed> {
    let store = deployment.store(invocation);
    let archived = Cell::new(0);
    let keep = async |rows: &[Row]| {
        if deployment.archive {
            archive(deployment, key, rows, invocation).await?;
            archived.set(archived.get() + rows.len() as u64);
        }
        Ok(())
    };
    let trim::Trimmed { deleted, left } = trim::trim_archived(&store, key, keep).await?;
    let archived = archived.get();
    invocation.meter.add(Metric::Trimmed, deleted);
    tracing::info!(key, deleted, left, archived, "trim");
    if left > 0 {
        return Err(Failed::Left { key: key.to_owned(), left });
    }
    Ok(Trimmed { key: key.to_owned(), deleted, archived })
}
