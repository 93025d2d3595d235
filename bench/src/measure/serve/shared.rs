//! What all threads of the load share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::connection::Connection;
use super::ledger::Ledger;

/// Failures whose text is kept.
const FAILURES_SHOWN: usize = 10;

/// The load's state.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: SocketAddr,
    pub(super) ledger: Ledger,
    /// Whether what happens now is counted; before, the server warms up.
    measuring: AtomicBool,
    stopped: AtomicBool,
    failures: AtomicU64,
    shown: Mutex<Vec<String>>,
}

impl Shared {
    pub(super) fn new(address: SocketAddr, keys: u64) -> Self {
        Self {
            address,
            ledger: Ledger::new(keys),
            measuring: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            shown: Mutex::default(),
        }
    }

    pub(super) fn measure(&self, measuring: bool) {
        self.measuring.store(measuring, Ordering::Relaxed);
    }

    pub(super) fn is_measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whatever was answered wrongly or not at all, warm-up included. There must be none.
    pub(super) fn fail(&self, what: &str, error: &anyhow::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() < FAILURES_SHOWN {
            eprintln!("bench: {what}: {error:#}");
            shown.push(format!("{what}: {error:#}"));
        }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn failures_shown(&self) -> Vec<String> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does one exchange; after a failure the connection is another.
    pub(super) fn with<T>(
        &self,
        kept: &mut Option<Connection>,
        what: &str,
        exchange: impl FnOnce(&mut Connection) -> anyhow::Result<T>,
    ) -> Option<T> {
        let exchanged = match kept.take().map_or_else(|| Connection::open(self.address), Ok) {
            Ok(connection) => exchange(kept.insert(connection)),
            Err(error) => Err(error),
        };
        exchanged
            .inspect_err(|error| {
                *kept = None;
                self.fail(what, error);
            })
            .ok()
    }
}
