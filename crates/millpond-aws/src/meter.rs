//! What is counted in one invocation, and how it is told: CloudWatch's embedded metric format.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::types::ConsumedCapacity;
use serde_json::{Value, json};

/// Where the metrics are found in CloudWatch.
pub const NAMESPACE: &str = "Millpond";
/// Values of one metric in one line; more than the format takes are told in another line.
const VALUES_MAX: usize = 100;

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Events that are rows now.
    Accepted,
    /// Events that were rows already.
    Duplicate,
    /// Events of types that the join does not know.
    Ignored,
    /// Events in the late queue.
    Late,
    /// Events, or what was to be one, in quarantine.
    Quarantined,
    /// Views that were written without reading history.
    Fast,
    /// Views that were folded from their tails.
    Refold,
    /// Items that were read.
    ItemsRead,
    /// Writes that others were faster with.
    Conflict,
    /// Views that were not what their events say: must be none.
    Divergence,
    /// Rows that were written after their place was closed: must be none.
    MarginBreach,
    /// Views that are larger than an item may be.
    Overflow,
    /// Keys that a newer definition would have to read trimmed events for.
    Incomplete,
    /// Batch items that are given back.
    Failed,
    /// How long ago the oldest record of a batch was put on its stream.
    Lag,
    /// Snapshots that were made.
    Snapshot,
    /// How old the snapshot is that a view which was written rests on.
    SnapshotAge,
    /// Rows that were deleted.
    Trimmed,
    /// Read units of DynamoDB.
    ReadUnits,
    /// Write units of DynamoDB.
    WriteUnits,
}

impl Metric {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Accepted,
        Self::Duplicate,
        Self::Ignored,
        Self::Late,
        Self::Quarantined,
        Self::Fast,
        Self::Refold,
        Self::ItemsRead,
        Self::Conflict,
        Self::Divergence,
        Self::MarginBreach,
        Self::Overflow,
        Self::Incomplete,
        Self::Failed,
        Self::Lag,
        Self::Snapshot,
        Self::SnapshotAge,
        Self::Trimmed,
        Self::ReadUnits,
        Self::WriteUnits,
    ];

    /// Its name in CloudWatch.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Lag | Self::SnapshotAge => "Milliseconds",
            Self::ReadUnits | Self::WriteUnits => "None",
            _ => "Count",
        }
    }
}

/// Counts of one invocation.
#[derive(Debug, Default)]
pub struct Meter {
    counts: Mutex<BTreeMap<Metric, Vec<f64>>>,
}

impl Meter {
    /// Adds to a sum.
    pub fn add(&self, metric: Metric, count: u64) {
        if count > 0 {
            self.sum(metric, count as f64);
        }
    }

    fn sum(&self, metric: Metric, count: f64) {
        let mut counts = self.counts();
        let values = counts.entry(metric).or_default();
        match values.first_mut() {
            Some(sum) => *sum += count,
            None => values.push(count),
        }
    }

    /// Adds all that another has counted.
    pub fn add_all(&self, other: &Self) {
        for metric in Metric::ALL {
            let count = other.get(*metric);
            if count > 0.0 {
                self.sum(*metric, count);
            }
        }
    }

    /// Keeps a value of its own.
    pub fn value(&self, metric: Metric, value: u64) {
        self.counts().entry(metric).or_default().push(value as f64);
    }

    /// Keeps the highest value.
    pub fn highest(&self, metric: Metric, value: u64) {
        let mut counts = self.counts();
        let values = counts.entry(metric).or_default();
        let highest = values.first().copied().unwrap_or_default().max(value as f64);
        *values = vec![highest];
    }

    /// What a call to DynamoDB has cost.
    pub(crate) fn capacity(&self, capacity: Option<&ConsumedCapacity>, kind: Units) {
        let units = capacity.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
        match kind {
            Units::Read => self.sum(Metric::ReadUnits, units),
            Units::Write => self.sum(Metric::WriteUnits, units),
        }
    }

    /// The sum of a metric's values so far.
    #[must_use]
    pub fn get(&self, metric: Metric) -> f64 {
        self.counts().get(&metric).map_or(0.0, |values| values.iter().sum())
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Metric, Vec<f64>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the embedded metric format; `None` if nothing was counted.
    #[must_use]
    pub fn line(&self, service: &str, function: &str, now: u64) -> Option<String> {
        let counts = self.counts();
        if counts.is_empty() {
            return None;
        }
        let definitions: Vec<Value> =
            counts.keys().map(|metric| json!({"Name": metric.name(), "Unit": metric.unit()})).collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": now,
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Service", "Function"]],
                    "Metrics": definitions,
                }],
            },
            "Service": service,
            "Function": function,
        });
        for (metric, values) in counts.iter() {
            line[metric.name()] = match values.as_slice() {
                [value] => plain(*value),
                values => values[values.len().saturating_sub(VALUES_MAX)..].iter().map(|value| plain(*value)).collect(),
            };
        }
        Some(line.to_string())
    }
}

/// A number without a point where it needs none.
fn plain(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as u64) } else { json!(value) }
}

/// What a call is billed for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Units {
    /// It reads.
    Read,
    /// It writes.
    Write,
}
