//! What was counted: written with each commit, so that it survives with the events it counts.

use std::collections::BTreeMap;

use millpond_core::Join;
use serde::{Deserialize, Serialize};

/// Ignored types that are counted apart; the rest is counted together.
const IGNORED_TYPES_MAX: usize = 64;
/// Where further ignored types are counted.
const OTHER_TYPES: &str = "(other types)";

/// Counts since the join was made. An event that joins several keys counts once a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// accepted + duplicate + late + quarantined + ignored.
    pub received: u64,
    /// Joined.
    pub accepted: u64,
    /// Known already.
    pub duplicate: u64,
    /// Put into the late queue.
    pub late: u64,
    /// Put into quarantine.
    pub quarantined: u64,
    /// Of types that the definition does not know.
    pub ignored: u64,
    /// Of `quarantined`: another body at the place of a stored event.
    pub conflicts: u64,
    /// Keys with a view.
    pub keys: u64,
    /// Snapshots made.
    pub snapshots: u64,
    /// Rows covered by snapshots and trimmed.
    pub trimmed: u64,
    /// Snapshots whose fold was not the stored state. Must stay 0.
    pub divergence: u64,
    /// Ignored events by type.
    pub ignored_types: BTreeMap<String, u64>,
    /// Events that had no value for a field that folds their type, by field.
    pub gaps: BTreeMap<String, u64>,
}

impl Counters {
    pub(crate) fn count_ignored(&mut self, kind: &str) {
        self.received += 1;
        self.ignored += 1;
        let known = self.ignored_types.contains_key(kind) || self.ignored_types.len() < IGNORED_TYPES_MAX;
        *self.ignored_types.entry(if known { kind } else { OTHER_TYPES }.to_owned()).or_default() += 1;
    }

    pub(crate) fn count_gaps(&mut self, join: &Join, gaps: &[u16]) {
        for field in gaps {
            *self.gaps.entry(join.fields()[usize::from(*field)].name.clone()).or_default() += 1;
        }
    }
}
