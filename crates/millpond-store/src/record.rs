//! What is stored for a key: the hot part of its view. The snapshot's state lies apart, since it is
//! read only to fold anew and would double the cost of every write.

use millpond_core::{Join, Position, Snapshot, State, View};
use serde::{Deserialize, Serialize};

/// The hot part of a view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The commit that changed it last: what replay compares with.
    pub(crate) commit: u64,
    /// The commit that changed its document last: the view's version. Snapshots and trims are none
    /// of a reader's business. Written only where it differs, behind everything else.
    #[serde(skip)]
    pub(crate) changed: u64,
    pub(crate) events: u64,
    pub(crate) folded_to: Position,
    pub(crate) state: State,
    pub(crate) closed: Option<Closed>,
    /// Rows at or below are gone, or will be with the next flush; nobody sees them any more.
    pub(crate) trimmed_to: Option<Position>,
    /// Events of the snapshot that have no row any more.
    pub(crate) trimmed: u64,
    /// No row of the tail was written before: none can be closed before this + lateness.
    pub(crate) oldest_put: u64,
    /// The length of tail at which a snapshot is asked for next.
    pub(crate) snapshot_at: u64,
}

/// The snapshot without its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) through: Position,
    pub(crate) events: u64,
    pub(crate) closed_at: u64,
}

impl Record {
    /// The record of a key without events.
    pub(crate) fn empty(join: &Join) -> Self {
        Self {
            commit: 0,
            changed: 0,
            events: 0,
            folded_to: Position::default(),
            state: State::empty(join),
            closed: None,
            trimmed_to: None,
            trimmed: 0,
            oldest_put: u64::MAX,
            snapshot_at: join.snapshot_every(),
        }
    }

    pub(crate) fn through(&self) -> Option<&Position> {
        self.closed.as_ref().map(|closed| &closed.through)
    }

    /// Rows after the snapshot.
    pub(crate) fn tail(&self) -> u64 {
        self.events - self.closed.as_ref().map_or(0, |closed| closed.events)
    }

    /// Whether a snapshot is worth trying: the tail is long, and its oldest row is settled.
    pub(crate) fn snapshot_due(&self, join: &Join, now: u64) -> bool {
        self.tail() > self.snapshot_at && now > self.oldest_put.saturating_add(join.lateness_ms())
    }

    /// The whole view, given the snapshot that lies apart.
    pub(crate) fn view(&self, join: &Join, snapshot: Option<Snapshot>) -> View {
        View {
            version: self.changed,
            fingerprint: join.fingerprint(),
            state: self.state.clone(),
            folded_to: self.folded_to.clone(),
            events: self.events,
            snapshot,
            trimmed_to: self.trimmed_to.clone(),
            behind: false, // a row and its fold are one commit
        }
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        let buffer = std::mem::take(out);
        let written = match self.changed == self.commit {
            true => postcard::to_extend(self, buffer),
            false => postcard::to_extend(&(self, self.changed), buffer),
        };
        *out = written.expect("a record always has bytes: it is plain data");
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (mut record, rest): (Self, _) = postcard::take_from_bytes(bytes)?;
        record.changed = if rest.is_empty() { record.commit } else { postcard::from_bytes(rest)? };
        Ok(record)
    }

    /// About how much memory it takes, for the cache's bound.
    pub(crate) fn bytes(&self) -> usize {
        let place = |position: &Option<Position>| position.as_ref().map_or(0, |at| at.id.len());
        size_of::<Self>()
            + self.state.bytes()
            + self.folded_to.id.len()
            + place(&self.trimmed_to)
            + self.closed.as_ref().map_or(0, |closed| closed.through.id.len())
    }
}
