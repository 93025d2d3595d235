//! The five functions: each reads its payload, runs a process of the core over it, and says which
//! of its records are to come again.

pub mod asked;
pub mod command;
pub mod consumer;
pub mod payload;
pub mod snapshot;
pub mod trigger;
pub mod trim;

use millpond_core::Join;
use millpond_core::process::consumer::Boundary;
use serde::Serialize;
use serde_json::Value;

use crate::aws::error::Error;
use crate::aws::pace::Pace;
use crate::aws::queues::{QueueUrls, Queues};
use crate::aws::store::{DynamoStore, Tables};
use crate::meter::Meter;

/// Records that are worked on at once.
pub const CONCURRENCY: usize = 16;

/// The clients of AWS.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Tables.
    pub dynamo: aws_sdk_dynamodb::Client,
    /// The stream.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
    /// The bucket.
    pub s3: aws_sdk_s3::Client,
}

/// Whether history is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// Events of any age are accepted, and nothing is closed: history is being loaded.
    Off,
    /// Since this time, in milliseconds since 1970 UTC.
    Since(u64),
}

/// A deployment: what a function knows of it when it starts.
#[derive(Debug)]
pub struct Deployment {
    /// The definition.
    pub join: Join,
    /// Numbers deployments of definitions: a later one has a higher number.
    pub generation: u64,
    /// The name of the service, in metrics.
    pub service: String,
    /// The stream.
    pub stream: String,
    /// The tables.
    pub tables: Tables,
    /// The queues.
    pub queues: QueueUrls,
    /// The bucket for what is too large for a queue, and for what is archived.
    pub bucket: String,
    /// Whether trimmed events are archived first.
    pub archive: bool,
    /// Whether history is closed.
    pub snapshots: Snapshots,
    /// How long a write may still be under way, in milliseconds.
    pub margin_ms: u64,
    /// The clients.
    pub clients: Clients,
}

/// One invocation.
#[derive(Debug)]
pub struct Invocation {
    /// Its clock, in milliseconds since 1970 UTC.
    pub now: fn() -> u64,
    /// Until when its calls are tried again.
    pub pace: Pace,
    /// What it counts.
    pub meter: Meter,
    /// The trace it belongs to.
    pub trace: Option<String>,
}

/// Why an invocation failed as a whole: all its records come again.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The payload is not for this function.
    #[error(transparent)]
    Payload(#[from] payload::NotForThis),
    /// AWS failed.
    #[error(transparent)]
    Aws(#[from] Error),
    /// A process did not finish.
    #[error(transparent)]
    Process(#[from] millpond_core::process::Error<Error>),
    /// A trim is not at its end.
    #[error("{left} event(s) of key `{key}` that a snapshot holds are not deleted yet; trim it again")]
    Left {
        /// The key.
        key: String,
        /// How many.
        left: u64,
    },
    /// There is no such function.
    #[error("there is no function `{name}`: `_HANDLER` must be one of command, consumer, trigger, snapshot, trim")]
    Unknown {
        /// The name.
        name: String,
    },
}

impl Failed {
    /// One word for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Payload(_) => "InvalidPayload",
            Self::Aws(Error::Unavailable { .. }) => "Unavailable",
            Self::Aws(_) => "Refused",
            Self::Process(_) | Self::Left { .. } => "Unfinished",
            Self::Unknown { .. } => "UnknownFunction",
        }
    }
}

/// Which records are to come again; none if all were done.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// One a record.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// A record that is to come again.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// Its sequence number, or the id of its message.
    pub item_identifier: String,
}

impl BatchAnswer {
    fn of(failures: impl IntoIterator<Item = String>) -> Self {
        let failure = |item_identifier| ItemFailure { item_identifier };
        let mut batch_item_failures: Vec<_> = failures.into_iter().map(failure).collect();
        batch_item_failures.sort();
        Self { batch_item_failures }
    }
}

impl Deployment {
    /// Where the consumer closes history, by its clock.
    #[must_use]
    pub fn boundary(&self) -> Boundary {
        match self.snapshots {
            Snapshots::Off => Boundary::Open,
            Snapshots::Since(_) => Boundary::Clock { margin_ms: self.margin_ms },
        }
    }

    /// The store, for an invocation.
    pub fn store<'s>(&'s self, invocation: &'s Invocation) -> DynamoStore<'s> {
        DynamoStore {
            join: &self.join,
            generation: self.generation,
            dynamo: &self.clients.dynamo,
            tables: &self.tables,
            queues: self.queues(invocation),
            pace: &invocation.pace,
            meter: &invocation.meter,
            heals: false,
        }
    }

    fn queues<'s>(&'s self, invocation: &'s Invocation) -> Queues<'s> {
        Queues {
            sqs: &self.clients.sqs,
            s3: &self.clients.s3,
            urls: &self.queues,
            bucket: &self.bucket,
            trace: invocation.trace.as_deref(),
        }
    }

    /// Handles a payload by the function of that name.
    ///
    /// # Errors
    /// If nothing of it was done, or it is not known what was.
    pub async fn handle(&self, function: &str, payload: &[u8], invocation: &Invocation) -> Result<Value, Failed> {
        match function {
            "command" => json(Box::pin(command::command(self, payload, invocation)).await?),
            "consumer" => json(Box::pin(consumer::consumer(self, payload, invocation)).await?),
            "trigger" => json(Box::pin(trigger::trigger(self, payload, invocation)).await?),
            "snapshot" => json(Box::pin(snapshot::snapshot(self, payload, invocation)).await?),
            "trim" => json(Box::pin(trim::trim(self, payload, invocation)).await?),
            name => Err(Failed::Unknown { name: name.to_owned() }),
        }
    }
}

fn json(answer: impl Serialize) -> Result<Value, Failed> {
    Ok(serde_json::to_value(answer).expect("an answer is plain data"))
}
