//! What Lambda hands over: batches of records, each read alone, so that one that cannot be read
//! does not keep its neighbours; or keys, by hand.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millpond_core::Position;
use millpond_core::store::Row;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::aws::queues::KeyMessage;
use crate::items;

/// A payload.
#[derive(Debug)]
pub enum Payload<'p> {
    /// Records of a mapping.
    Records(Vec<&'p RawValue>),
    /// Keys, by hand.
    Keys(Vec<String>),
}

#[derive(Deserialize)]
struct Envelope<'p> {
    #[serde(borrow, default, rename = "Records")]
    records: Option<Vec<&'p RawValue>>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    keys: Option<Vec<String>>,
}

/// A payload that is none.
#[derive(Debug, thiserror::Error)]
#[error("this payload is not for this function: expected {expected}{}", .found.as_ref().map_or(String::new(), |found| format!("; {found}")))]
pub struct NotForThis {
    /// What it takes.
    pub expected: &'static str,
    /// What is wrong.
    pub found: Option<serde_json::Error>,
}

impl<'p> Payload<'p> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it is neither records nor keys.
    pub fn read(bytes: &'p [u8], expected: &'static str) -> Result<Self, NotForThis> {
        let envelope: Envelope<'p> =
            serde_json::from_slice(bytes).map_err(|found| NotForThis { expected, found: Some(found) })?;
        match envelope {
            Envelope { records: Some(records), .. } => Ok(Self::Records(records)),
            Envelope { key: Some(key), keys, .. } => {
                Ok(Self::Keys(std::iter::once(key).chain(keys.unwrap_or_default()).collect()))
            }
            Envelope { keys: Some(keys), .. } => Ok(Self::Keys(keys)),
            _ => Err(NotForThis { expected, found: None }),
        }
    }
}

/// A record of a stream: its bytes, and its place in the shard.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// What was put.
    pub data: Vec<u8>,
    /// What it is given back by.
    pub sequence_number: String,
    /// When it was put, in milliseconds since 1970 UTC.
    pub put_at: Option<u64>,
}

/// Seconds since 1970 UTC as Lambda writes them, in milliseconds.
fn milliseconds(seconds: Option<f64>) -> Option<u64> {
    seconds.map(|seconds| (seconds * 1000.0) as u64)
}

/// Reads a record of Kinesis.
///
/// # Errors
/// What is wrong with it.
pub fn kinesis(record: &RawValue) -> Result<StreamRecord, String> {
    #[derive(Deserialize)]
    struct Record<'r> {
        #[serde(borrow)]
        kinesis: Kinesis<'r>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kinesis<'r> {
        #[serde(borrow)]
        data: Cow<'r, str>,
        sequence_number: String,
        #[serde(default)]
        approximate_arrival_timestamp: Option<f64>,
    }
    let Record { kinesis } = serde_json::from_str(record.get()).map_err(|error| error.to_string())?;
    let data = BASE64_STANDARD.decode(kinesis.data.as_bytes()).map_err(|error| format!("`data`: {error}"))?;
    let put_at = milliseconds(kinesis.approximate_arrival_timestamp);
    Ok(StreamRecord { data, sequence_number: kinesis.sequence_number, put_at })
}

/// A record of the events table's change stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// A new row.
    Inserted {
        /// Its key.
        key: String,
        /// The row; it was put when its record was made, if that was later than its writer knew.
        row: Row,
        /// What it is given back by.
        sequence_number: String,
    },
    /// Something else happened to one.
    Other,
}

/// Reads a record of the change stream.
///
/// # Errors
/// What is wrong with it.
pub fn change(record: &RawValue) -> Result<Change, String> {
    #[derive(Deserialize)]
    struct Record<'r> {
        #[serde(borrow, rename = "eventName")]
        name: Cow<'r, str>,
        #[serde(borrow)]
        dynamodb: Option<&'r RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Dynamodb {
        #[serde(default)]
        approximate_creation_date_time: Option<f64>,
        sequence_number: String,
        new_image: Image,
    }
    #[derive(Deserialize)]
    struct Image {
        id: Text,
        sequence: Text,
        event: Text,
        put_at: Number,
    }
    #[derive(Deserialize)]
    struct Text {
        #[serde(rename = "S")]
        text: String,
    }
    #[derive(Deserialize)]
    struct Number {
        #[serde(rename = "N")]
        digits: String,
    }
    let fault = |error: serde_json::Error| error.to_string();
    let Record { name, dynamodb } = serde_json::from_str(record.get()).map_err(fault)?;
    if name != "INSERT" {
        return Ok(Change::Other);
    }
    let dynamodb = dynamodb.ok_or("`dynamodb` is missing")?;
    let Dynamodb { approximate_creation_date_time: landed_at, sequence_number, new_image } =
        serde_json::from_str(dynamodb.get()).map_err(fault)?;
    let Image { id, sequence, event, put_at } = new_image;
    let position: Position =
        items::position(&sequence.text).ok_or_else(|| format!("`{}` is no position", sequence.text))?;
    let put_at: u64 = put_at.digits.parse().map_err(|_| format!("`put_at` is {}, and no time", put_at.digits))?;
    // A write may be under way for longer than its writer lives: only the table knows when it landed.
    let put_at = put_at.max(milliseconds(landed_at).unwrap_or_default());
    let row = Row { position, put_at, body: event.text.into() };
    Ok(Change::Inserted { key: id.text, row, sequence_number })
}

/// A message that asks for a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is given back by.
    pub message_id: String,
    /// The key, or why it has none.
    pub key: Result<String, String>,
}

/// Reads a record of SQS.
///
/// # Errors
/// If it is no message at all.
pub fn asked(record: &RawValue) -> Result<Asked, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        message_id: String,
        body: String,
    }
    let Record { message_id, body } = serde_json::from_str(record.get()).map_err(|error| error.to_string())?;
    let key = serde_json::from_str(&body).map(|KeyMessage { key }| key).map_err(|error| error.to_string());
    Ok(Asked { message_id, key })
}
