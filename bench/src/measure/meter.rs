//! CPU and wall time of this process, and the statistics of many values.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Measures this process from its start to [`Meter::stop`]: all threads, in the background too.
#[derive(Debug)]
pub(super) struct Meter {
    started: Instant,
    cpu_before: Duration,
    excluded: Spent,
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) seconds: f64,
    pub(super) cpu_s: f64,
}

impl Meter {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), cpu_before: cpu(ClockId::ProcessCPUTime), excluded: Spent::default() }
    }

    /// Does the bench's own work on this thread, which is not counted; what other threads do meanwhile is.
    pub(super) fn excluding<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (started, cpu_before) = (Instant::now(), cpu(ClockId::ThreadCPUTime));
        let result = work();
        self.excluded.seconds += started.elapsed().as_secs_f64();
        self.excluded.cpu_s += (cpu(ClockId::ThreadCPUTime) - cpu_before).as_secs_f64();
        result
    }

    pub(super) fn stop(self) -> Spent {
        let cpu_s = (cpu(ClockId::ProcessCPUTime) - self.cpu_before).as_secs_f64();
        Spent {
            seconds: self.started.elapsed().as_secs_f64() - self.excluded.seconds,
            cpu_s: cpu_s - self.excluded.cpu_s,
        }
    }
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The wall time of `work`, in seconds.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed().as_secs_f64(), result)
}

/// The smallest value that at least this share (0.0 to 1.0) of the values, of which there is one, does not exceed.
pub(super) fn percentile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values, 0.5)
}

pub(super) fn per_million(value: f64, count: u64) -> f64 {
    value / (count as f64 / 1e6)
}

pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let at = |share| percentile(values, share);
        assert_eq!((at(0.0), at(0.5), at(0.8), at(0.99), median([2.0, 1.0])), (1.0, 3.0, 4.0, 5.0, 1.0));
    }
}
