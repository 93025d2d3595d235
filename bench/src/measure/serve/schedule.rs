//! When requests are due, and how long they took from then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests at a fixed rate by the clock, whoever sends them. A sender that comes late to one finds it due in the past,
/// and its latency counts from there: waiting that the server causes is never left out.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    per_s: f64,
    requests: u64,
    next: AtomicU64,
}

impl Schedule {
    pub(super) fn new(per_s: f64, lasts: Duration) -> Self {
        let requests = (per_s * lasts.as_secs_f64()) as u64;
        Self { start: Instant::now(), per_s, requests, next: AtomicU64::new(0) }
    }

    /// The number of the next request and when it is due; none after the last.
    pub(super) fn next(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = self.start + Duration::from_secs_f64(number as f64 / self.per_s);
        (number < self.requests).then_some((number, due))
    }
}

pub(super) fn wait_until(due: Instant) {
    let now = Instant::now();
    if due > now {
        std::thread::sleep(due - now);
    }
}

/// Latencies, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<f64>);

impl Times {
    pub(super) fn add(&mut self, span: Duration) {
        self.0.push(span.as_secs_f64() * 1e3);
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_by(f64::total_cmp);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest that at least this share does not exceed, of sorted ones; 0 if there are none.
    pub(super) fn at(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_by_the_clock_whoever_comes_late() {
        let schedule = Schedule::new(1_000.0, Duration::from_millis(3));
        let due: Vec<_> = std::iter::from_fn(|| schedule.next()).map(|(_, due)| due - schedule.start).collect();
        assert_eq!(due, [0, 1, 2].map(Duration::from_millis));
    }

    #[test]
    fn latencies_are_some_that_occurred() {
        let mut times = Times::default();
        [3, 1, 2].into_iter().for_each(|ms| times.add(Duration::from_millis(ms)));
        times.sort();
        assert_eq!((times.at(0.0), times.at(0.5), times.at(0.999), Times::default().at(0.5)), (1.0, 2.0, 3.0, 0.0));
    }
}
