//! The stream: puts records, and puts again those that Kinesis did not take.

use aws_sdk_kinesis::operation::put_records::PutRecordsError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use super::error::Error;
use super::pace::{Pace, never};

/// Records of a PutRecords; its limit.
const RECORDS_A_CALL: usize = 500;
/// Bytes of a PutRecords, partition keys included; its limit is 5 MiB where the stream's is not raised.
const BYTES_A_CALL: usize = 4 << 20;
/// Bytes of a partition key; its limit is 256 characters.
const PARTITION_KEY_CHARS_MAX: usize = 256;

/// A record to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is spread over shards by.
    pub partition_key: String,
    /// What it holds.
    pub data: Vec<u8>,
}

/// Puts records. Each may be on the stream more than once in the end.
///
/// # Errors
/// If some are not known to be on the stream.
pub async fn put(
    client: &aws_sdk_kinesis::Client,
    stream: &str,
    entries: Vec<Entry>,
    pace: &Pace,
) -> Result<(), Error> {
    for call in calls(entries) {
        put_call(client, stream, call, pace).await?;
    }
    Ok(())
}

fn calls(entries: Vec<Entry>) -> Vec<Vec<PutRecordsRequestEntry>> {
    let mut calls: Vec<Vec<PutRecordsRequestEntry>> = Vec::new();
    let mut bytes = 0;
    for Entry { partition_key, data } in entries {
        let partition_key: String = partition_key.chars().take(PARTITION_KEY_CHARS_MAX).collect();
        let size = partition_key.len() + data.len();
        if calls.last().is_none_or(|call| call.len() == RECORDS_A_CALL || bytes + size > BYTES_A_CALL) {
            calls.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        let entry = PutRecordsRequestEntry::builder().partition_key(partition_key).data(Blob::new(data)).build();
        calls.last_mut().expect("there is one").push(entry.expect("data and partition key are given"));
    }
    calls
}

async fn put_call(
    client: &aws_sdk_kinesis::Client,
    stream: &str,
    mut left: Vec<PutRecordsRequestEntry>,
    pace: &Pace,
) -> Result<(), Error> {
    let mut attempt = 0;
    loop {
        let call = || client.put_records().stream_name(stream).set_records(Some(left.clone())).send();
        let answer = pace.call("kinesis:PutRecords", call, never::<PutRecordsError, _>).await?;
        let refused: Vec<_> =
            left.into_iter().zip(answer.records()).filter(|(_, done)| done.error_code().is_some()).collect();
        let Some((_, why)) = refused.first() else { return Ok(()) };
        let why = format!("{} record(s): {}", refused.len(), why.error_code().unwrap_or_default());
        attempt += 1;
        if !pace.wait(attempt).await {
            return Err(Error::Unavailable { what: "kinesis:PutRecords", attempts: attempt, why });
        }
        left = refused.into_iter().map(|(entry, _)| entry).collect();
    }
}
