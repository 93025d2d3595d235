//! What threads share and wait for, all from here: the standard library's; or, built with `--cfg shuttle` for
//! `tests/schedules`, that of a scheduler which decides at each step who goes on.

/// Nobody is ever kept waiting by these.
pub(crate) use std::sync::{Arc, OnceLock, PoisonError};
#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, mpsc},
    thread,
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, mpsc};

#[cfg(shuttle)]
pub(crate) mod thread {
    pub(crate) use shuttle::thread::{Builder, JoinHandle};

    /// The scheduler knows no time, and its own `sleep` lets nobody go first whose priority is lower: who looks again
    /// and again would look for ever.
    pub(crate) fn sleep(_: std::time::Duration) {
        shuttle::thread::yield_now();
    }
}

/// Before something that the disk does: it takes its time, and others go on meanwhile. The scheduler of
/// the tests has to be told, and nobody else.
#[inline(always)]
pub(crate) fn disk() {
    #[cfg(shuttle)]
    shuttle::sync::atomic::AtomicBool::new(false).load(std::sync::atomic::Ordering::SeqCst);
}
