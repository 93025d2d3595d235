//! What a join has counted over the last hour: a sample each ten seconds, in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use millpond_store::Store;

use super::Clock;
use super::upkeep::Stop;

/// Between two samples.
pub(crate) const EVERY: Duration = Duration::from_secs(10);
/// An hour of them.
const KEPT: usize = 360;

/// What was counted at a time: totals, as a join's stats have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// In milliseconds since 1970 UTC.
    pub(crate) at: u64,
    pub(crate) received: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
    pub(crate) late: u64,
    pub(crate) quarantined: u64,
    pub(crate) ignored: u64,
    pub(crate) keys: u64,
    pub(crate) snapshots: u64,
    pub(crate) trimmed: u64,
    pub(crate) fast: u64,
    pub(crate) looked_up: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) newest_at: Option<u64>,
}

impl Sample {
    fn of(store: &Store, now: u64) -> Self {
        let (counters, activity) = (store.counters(), store.activity());
        Self {
            at: now,
            received: counters.received,
            accepted: counters.accepted,
            duplicate: counters.duplicate,
            late: counters.late,
            quarantined: counters.quarantined,
            ignored: counters.ignored,
            keys: counters.keys,
            snapshots: counters.snapshots,
            trimmed: counters.trimmed,
            fast: activity.fast,
            looked_up: activity.looked_up,
            disk_bytes: store.disk_bytes(),
            newest_at: activity.newest_at,
        }
    }
}

/// The newest samples, ascending in time.
#[derive(Debug)]
pub(crate) struct Samples(VecDeque<Sample>);

impl Default for Samples {
    fn default() -> Self {
        Self(VecDeque::with_capacity(KEPT))
    }
}

impl Samples {
    /// Adds a sample; the oldest goes where there are too many. If the clock was set back, those that
    /// claim to be no older are forgotten.
    fn add(&mut self, sample: Sample) {
        while self.0.back().is_some_and(|last| last.at >= sample.at) {
            self.0.pop_back();
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// Those that are later than a time, or all.
    pub(crate) fn after(&self, after: Option<u64>) -> Vec<Sample> {
        let first = self.0.partition_point(|sample| after.is_some_and(|after| sample.at <= after));
        self.0.range(first..).copied().collect()
    }
}

/// A join's samples, as its threads share them.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Samples>);

impl Kept {
    pub(super) fn after(&self, after: Option<u64>) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).after(after)
    }

    /// Takes a sample of a store. Waits for no commit.
    pub(super) fn take(&self, store: &Store, now: u64) {
        let sample = Sample::of(store, now);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(sample);
    }
}

/// Takes samples until it is told to end, or the store is gone or has stopped.
pub(super) fn run(store: &RwLock<Option<Store>>, kept: &Kept, stop: &Stop, clock: Clock) {
    let mut next = Instant::now() + EVERY;
    while !stop.wait(next.saturating_duration_since(Instant::now())) {
        let store = store.read().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = store.as_ref().filter(|store| store.stopped().is_none()) else { return };
        kept.take(store, clock());
        next = after(next, Instant::now());
    }
}

/// When the sample after the one that was due at `last` is due: what was missed is not made up for.
fn after(last: Instant, now: Instant) -> Instant {
    let next = last + EVERY;
    if next < now { now + EVERY } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64) -> Sample {
        Sample { at, received: at * 2, ..Sample::default() }
    }

    fn times(samples: &Samples, after: Option<u64>) -> Vec<u64> {
        samples.after(after).iter().map(|sample| sample.at).collect()
    }

    #[test]
    fn an_hour_is_kept_and_told_in_order() {
        let mut samples = Samples::default();
        assert!(samples.after(None).is_empty());
        for at in 0..1_000 {
            samples.add(sample(at));
        }
        assert_eq!(times(&samples, None), (640..1_000).collect::<Vec<_>>());
        assert_eq!(times(&samples, Some(997)), [998, 999]);
        assert_eq!(times(&samples, Some(999)), [] as [u64; 0]);
        assert_eq!(samples.after(Some(998)), [sample(999)]);
        assert_eq!(times(&samples, Some(0)).len(), 360);
    }

    /// A second sample, a moment after one that was late, drew a peak that was none.
    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let last = Instant::now();
        let late = Duration::from_secs(3);
        assert_eq!(after(last, last + late), last + EVERY);
        assert_eq!(after(last, last + EVERY + late), last + EVERY + late + EVERY);
    }

    /// Somebody set the clock right: time went on from there, and must still ascend.
    #[test]
    fn a_clock_that_is_set_back_leaves_no_sample_from_the_future() {
        let mut samples = Samples::default();
        for at in [10, 20, 30, 40, 25, 35] {
            samples.add(sample(at));
        }
        assert_eq!(times(&samples, None), [10, 20, 25, 35]);
        samples.add(sample(35));
        assert_eq!(times(&samples, None), [10, 20, 25, 35]);
    }
}
