//! Tries numbers one after the other on all cores, until the time is over.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

/// How long nothing may be done before something counts as endless: longer than a child may take.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// On how many cores numbers are tried.
#[must_use]
pub fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Runs `work` for each number while there is time, and hands what it did to `each`, until that
/// says that it is enough. The first number is tried whatever the time is. When this returns, `work` has
/// ended everywhere, and put away what it had; unless it has no end.
///
/// # Errors
/// If `work` panics or has no end, or `each` fails.
pub fn try_all<T: Send + 'static>(
    numbers: Range<u64>,
    end: Instant,
    work: impl Fn(u64) -> T + Send + Sync + 'static,
    mut each: impl FnMut(T) -> Result<bool>,
) -> Result<()> {
    let (work, next) = (Arc::new(work), Arc::new(AtomicU64::new(numbers.start)));
    let (first, last) = (numbers.start, numbers.end);
    let (sender, receiver) = mpsc::channel();
    let mut threads = Vec::new();
    for _ in 0..cores() {
        let (work, next, sender) = (Arc::clone(&work), Arc::clone(&next), sender.clone());
        threads.push(thread::spawn(move || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let is_over = Instant::now() >= end && number > first;
                if number >= last || is_over || sender.send(work(number)).is_err() {
                    return;
                }
            }
        }));
    }
    drop((work, sender));
    let mut more = Ok(true);
    loop {
        match receiver.recv_timeout(SILENCE_MAX) {
            Ok(done) if matches!(more, Ok(true)) => {
                more = each(done);
                if !matches!(more, Ok(true)) {
                    next.store(last, Ordering::Relaxed); // only what is under way is ended
                }
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if matches!(more, Ok(false)) => return Ok(()), // it is found already
            Err(RecvTimeoutError::Timeout) => {
                bail!("what was tried shortly before number {} has no end", next.load(Ordering::Relaxed))
            }
        }
    }
    for thread in threads {
        ensure!(thread.join().is_ok(), "what was tried has panicked");
    }
    more.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_tried_when_the_time_is_over_already() {
        let mut tried = Vec::new();
        let each = |number| {
            tried.push(number);
            Ok(true)
        };
        try_all(5..900, Instant::now(), |number| number, each).unwrap();
        assert_eq!(tried, [5]);
    }

    /// The program ended while other threads still had folders, which stayed behind.
    #[test]
    fn what_is_tried_has_put_away_all_it_had_when_it_is_enough() {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let end = Instant::now() + Duration::from_secs(60);
        try_all(0..u64::MAX / 2, end, move |_| Arc::clone(&holds), |_| Ok(false)).unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_panic_is_an_error() {
        let end = Instant::now() + Duration::from_secs(60);
        let panics = |number: u64| assert!(number != 2, "it cannot be");
        let done = try_all(0..4, end, panics, |()| Ok(true));
        assert!(done.unwrap_err().to_string().contains("panicked"));
    }
}
