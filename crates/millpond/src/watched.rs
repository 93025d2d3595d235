//! What a running server has read from files, and reads again when they change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

/// How often the files are looked at, when somebody asks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A value as its files have it, or as they had it when they were right last.
#[derive(Debug)]
pub(crate) struct Watched<T, S> {
    /// What it is, for the log.
    what: &'static str,
    known: Mutex<Known<T, S>>,
}

#[derive(Debug)]
struct Known<T, S> {
    value: Arc<T>,
    /// Tells the files that it was read from.
    stamp: S,
    /// Why newer ones could not be used.
    fault: Option<String>,
    looked: Instant,
}

impl<T, S: PartialEq> Watched<T, S> {
    pub(crate) fn new(what: &'static str, (value, stamp): (T, S)) -> Self {
        let known = Known { value: Arc::new(value), stamp, fault: None, looked: Instant::now() };
        Self { what, known: Mutex::new(known) }
    }

    /// The value that is known, without a look at the files.
    pub(crate) fn known(&self) -> Arc<T> {
        Arc::clone(&self.lock().value)
    }

    /// The value; it is read again, given the one that is known, if the files' stamp is another.
    pub(crate) fn current(&self, stamp: impl FnOnce() -> S, read: impl FnOnce(&T) -> Result<(T, S)>) -> Arc<T> {
        let mut known = self.lock();
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            if known.stamp != stamp() {
                let read = read(&known.value);
                known.take(self.what, read);
            }
        }
        Arc::clone(&known.value)
    }

    fn lock(&self) -> MutexGuard<'_, Known<T, S>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, S> Known<T, S> {
    fn take(&mut self, what: &str, read: Result<(T, S)>) {
        match read {
            Ok((value, stamp)) => {
                (self.value, self.stamp, self.fault) = (Arc::new(value), stamp, None);
                tracing::info!("{what} have changed");
            }
            Err(error) => {
                // What was not read is not known: it is tried again, and told once.
                let fault = format!("{error:#}");
                if self.fault.as_ref() != Some(&fault) {
                    tracing::error!(error = fault, "{what} cannot be read; those known before stay until they can");
                }
                self.fault = Some(fault);
            }
        }
    }
}
