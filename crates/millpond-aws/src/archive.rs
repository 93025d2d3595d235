//! The archive: what is trimmed, in the bucket, by key, so that erasure finds it.

use std::fmt::Write as _;

use millpond_core::store::Row;
use serde::{Deserialize, Serialize};

use crate::aws::error::Error;
use crate::aws::pace::never;
use crate::handlers::{Deployment, Invocation};

/// A line of an archived object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// The join key.
    pub key: String,
    /// The event's place.
    pub position: String,
    /// When it was written, in milliseconds since 1970 UTC.
    pub put_at: u64,
    /// The event, as it was received.
    pub event: String,
}

/// Where a key's events are; a key may be longer than an object's name.
#[must_use]
pub fn folder(key: &str) -> String {
    format!("archive/{:032x}/", xxhash_rust::xxh3::xxh3_128(key.as_bytes()))
}

/// Archives rows of a key, in one object. The same rows again are the same object.
///
/// # Errors
/// If they are not in the bucket.
pub async fn archive(deployment: &Deployment, key: &str, rows: &[Row], invocation: &Invocation) -> Result<(), Error> {
    let mut lines = String::new();
    for row in rows {
        let Row { position, put_at, body } = row;
        let line =
            Archived { key: key.into(), position: position.to_string(), put_at: *put_at, event: body.to_string() };
        let _ = writeln!(lines, "{}", serde_json::to_string(&line).expect("a line is plain data"));
    }
    let first = rows.first().map_or(0, |row| row.position.timestamp);
    let hash = xxhash_rust::xxh3::xxh3_128(lines.as_bytes());
    let object = format!("{}{first:015}-{hash:032x}.ndjson", folder(key));
    let bytes = bytes::Bytes::from(lines);
    let call = || {
        let put = deployment.clients.s3.put_object().bucket(&deployment.bucket).key(&object);
        put.content_type("application/x-ndjson").body(bytes.clone().into()).send()
    };
    invocation.pace.call("s3:PutObject", call, never).await.map(drop)
}
