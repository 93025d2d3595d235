//! Tries numbers one after the other on all cores, until the time is over.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long nothing may be done before something counts as endless.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Runs `work` for each number while there is time, and hands what it did to `each`, until that
/// says that it is enough. A range of one number is tried whatever the time is.
///
/// # Errors
/// If `work` has no end, or `each` fails.
pub fn try_all<T: Send + 'static>(
    numbers: Range<u64>,
    end: Instant,
    work: impl Fn(u64) -> T + Send + Sync + 'static,
    mut each: impl FnMut(T) -> Result<bool>,
) -> Result<()> {
    let (work, next) = (Arc::new(work), Arc::new(AtomicU64::new(numbers.start)));
    let (last, only) = (numbers.end, numbers.end - numbers.start == 1);
    let (sender, receiver) = mpsc::channel();
    for _ in 0..available_parallelism().map_or(1, usize::from) {
        let (work, next, sender) = (Arc::clone(&work), Arc::clone(&next), sender.clone());
        thread::spawn(move || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let over = Instant::now() >= end && !only;
                if number >= last || over || sender.send(work(number)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    loop {
        match receiver.recv_timeout(SILENCE_MAX) {
            Ok(done) => {
                if !each(done)? {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                bail!("what was tried shortly before number {} has no end", next.load(Ordering::Relaxed))
            }
        }
    }
}
