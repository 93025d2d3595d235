//! One join of a server.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use millpond_core::Rejection;
use millpond_store::{Error, Outcome, Store};
use tokio::sync::watch;

use super::Refused;

/// The events of one request, for one join.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bytes: Bytes,
    /// Where in it the events lie.
    pub(crate) events: Vec<Range<usize>>,
    /// Pieces that cannot be events, and why.
    pub(crate) broken: Vec<(Range<usize>, Rejection)>,
}

/// A join that is served.
pub(crate) struct Hosted {
    store: Store,
}

impl Hosted {
    /// For anything but ingesting; it may wait for the disk, so on a thread that may.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Runs something that waits for the disk where that is allowed.
    pub(crate) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let hosted = Arc::clone(self);
        tokio::task::spawn_blocking(move || read(&hosted.store)).await.expect("reading does not panic")
    }

    /// Joins events durably, in one commit with those of other requests; one outcome an event and
    /// key it joins, with the event's place; broken pieces are counted on behind the events.
    pub(crate) async fn ingest(&self, parcel: Arc<Parcel>) -> Result<Vec<(u32, Outcome)>, Refused> {
        todo!("{parcel:?}")
    }

    /// The last durable commit, as it grows; closed when the join is no longer served.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        todo!()
    }
}
