//! The queues: late events, quarantine, and the keys that ask for a snapshot or a trim.

use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millpond_core::store::{LateEvent, Quarantined};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::pace::{Pace, never};

/// A message that is larger goes into the bucket, and the queue has its place: a message is limited
/// to 1 MiB with its attributes, and to 256 KiB where that is not known yet.
const MESSAGE_BYTES_MAX: usize = 250 * 1024;
/// Where such messages lie in the bucket.
const LARGE: &str = "large-messages";

/// Where the queues are.
#[derive(Clone, Debug)]
pub struct QueueUrls {
    /// Events that came after their place was closed.
    pub late: String,
    /// What could not be joined.
    pub quarantine: String,
    /// Keys whose tails are long.
    pub snapshot: String,
    /// Keys with a new snapshot.
    pub trim: String,
}

/// The queues, and the bucket for what is too large for them, in one invocation.
#[derive(Clone, Copy)]
pub struct Queues<'q> {
    /// Where messages are sent.
    pub sqs: &'q aws_sdk_sqs::Client,
    /// Where large ones go.
    pub s3: &'q aws_sdk_s3::Client,
    /// The queues.
    pub urls: &'q QueueUrls,
    /// The bucket of this deployment.
    pub bucket: &'q str,
    /// The trace that the invocation belongs to.
    pub trace: Option<&'q str>,
}

/// A message of the late queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateMessage {
    /// The key that it would join.
    pub key: String,
    /// Its position.
    pub position: String,
    /// Why it is here.
    pub reason: String,
    /// The boundary that it was at or below.
    pub closed: String,
    /// When it came, in milliseconds since 1970 UTC.
    pub at: u64,
    /// The event, as it was received.
    pub event: String,
}

/// A message of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineMessage {
    /// The reason's word.
    pub reason: String,
    /// What was found, and what was expected.
    pub detail: String,
    /// When it came, in milliseconds since 1970 UTC.
    pub at: u64,
    /// What was received, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was received, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// A message that asks for a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMessage {
    /// The key.
    pub key: String,
}

/// In the place of a message that is too large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeMessage {
    /// Where in the bucket it is.
    pub object: String,
}

impl LateMessage {
    fn new(late: &LateEvent) -> Self {
        let LateEvent { key, row, closed } = late;
        Self {
            key: key.to_string(),
            position: row.position.to_string(),
            reason: format!("its place was closed: everything at or below {closed} is"),
            closed: closed.to_string(),
            at: row.put_at,
            event: row.body.to_string(),
        }
    }
}

impl QuarantineMessage {
    fn new(quarantined: &Quarantined) -> Self {
        let Quarantined { rejection, at, bytes } = quarantined;
        let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
        let base64 = text.is_none().then(|| BASE64_STANDARD.encode(bytes));
        Self { reason: rejection.reason.code().to_owned(), detail: rejection.detail.clone(), at: *at, text, base64 }
    }

    /// What was received.
    ///
    /// # Errors
    /// If the message was not written by us.
    pub fn bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match (&self.text, &self.base64) {
            (Some(text), _) => Ok(text.clone().into_bytes()),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64),
            (None, None) => Ok(Vec::new()),
        }
    }
}

impl Queues<'_> {
    /// Keeps a late event.
    ///
    /// # Errors
    /// If it is not in the queue.
    pub async fn keep_late(&self, late: &LateEvent, pace: &Pace) -> Result<(), Error> {
        self.send(&self.urls.late, &LateMessage::new(late), "late", pace).await
    }

    /// Keeps what could not be joined.
    ///
    /// # Errors
    /// If it is not in the queue.
    pub async fn keep_quarantined(&self, quarantined: &Quarantined, pace: &Pace) -> Result<(), Error> {
        let message = QuarantineMessage::new(quarantined);
        self.send(&self.urls.quarantine, &message, &message.reason, pace).await
    }

    /// Asks for a snapshot of a key.
    ///
    /// # Errors
    /// If it is not in the queue.
    pub async fn ask_snapshot(&self, key: &str, pace: &Pace) -> Result<(), Error> {
        self.send(&self.urls.snapshot, &KeyMessage { key: key.to_owned() }, "snapshot", pace).await
    }

    /// Asks for a trim of a key.
    ///
    /// # Errors
    /// If it is not in the queue.
    pub async fn ask_trim(&self, key: &str, pace: &Pace) -> Result<(), Error> {
        self.send(&self.urls.trim, &KeyMessage { key: key.to_owned() }, "trim", pace).await
    }

    async fn send(&self, url: &str, message: &impl Serialize, reason: &str, pace: &Pace) -> Result<(), Error> {
        let whole = serde_json::to_string(message).expect("a message is plain data");
        let body = if whole.len() > MESSAGE_BYTES_MAX { self.set_aside(whole, pace).await? } else { whole };
        let attribute = |text: &str| {
            let value = MessageAttributeValue::builder().data_type("String").string_value(text).build();
            value.expect("its type is given")
        };
        let trace = self.trace.map(|trace| {
            let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace).build();
            (MessageSystemAttributeNameForSends::AwsTraceHeader, value.expect("its type is given"))
        });
        let call = || {
            let send = self.sqs.send_message().queue_url(url).message_body(&body);
            let send = send.message_attributes("reason", attribute(reason));
            send.set_message_system_attributes(trace.clone().map(|trace| [trace].into())).send()
        };
        pace.call("sqs:SendMessage", call, never::<SendMessageError, _>).await.map(drop)
    }

    /// Puts a message into the bucket, under the name of what is in it; what its place is told by.
    async fn set_aside(&self, message: String, pace: &Pace) -> Result<String, Error> {
        let object = format!("{LARGE}/{:032x}.json", xxhash_rust::xxh3::xxh3_128(message.as_bytes()));
        let bytes = bytes::Bytes::from(message);
        let call = || self.s3.put_object().bucket(self.bucket).key(&object).body(bytes.clone().into()).send();
        pace.call("s3:PutObject", call, never).await?;
        Ok(serde_json::to_string(&LargeMessage { object }).expect("a message is plain data"))
    }
}
