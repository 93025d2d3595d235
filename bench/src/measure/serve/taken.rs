//! The server's answer to events, as far as a sender counts.

use anyhow::ensure;
use serde::Deserialize;

use super::connection::Connection;

pub(super) const EVENTS: &str = "/v1/events";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const JSON: &str = "application/json";

/// What became of the events of one request, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Taken {
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) duplicate: u64,
    pub(super) late: u64,
    pub(super) quarantined: u64,
    pub(super) ignored: u64,
}

impl Taken {
    /// Sends events, which must all be new or known.
    pub(super) fn of(connection: &mut Connection, kind: &str, body: &[u8], events: u64) -> anyhow::Result<Self> {
        let taken: Self = serde_json::from_slice(connection.post(EVENTS, kind, body)?.expect(200)?)?;
        let right = taken.received == events && taken.accepted + taken.duplicate == events;
        ensure!(right, "of {events} events: {taken:?}");
        Ok(taken)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.received += other.received;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.quarantined += other.quarantined;
        self.ignored += other.ignored;
    }
}
