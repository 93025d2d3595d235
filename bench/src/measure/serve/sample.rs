//! The server as it is from second to second.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::meter::{median, megabytes};
use super::schedule::wait_until;
use super::server::Server;

/// One look at the server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Seconds since it was first looked at.
    pub seconds: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// CPU time since it was started.
    pub cpu_s: f64,
    /// Bytes of its data folder.
    pub disk_bytes: u64,
}

const EVERY: Duration = Duration::from_secs(1);
/// Adding up the folder's files costs more than the other values.
const DISK_EVERY: usize = 10;

/// Looks once a second for so long.
pub(super) fn watch(server: &Server, lasts: Duration) -> anyhow::Result<Vec<Sample>> {
    let started = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    loop {
        let disk_bytes = match samples.last() {
            Some(last) if !samples.len().is_multiple_of(DISK_EVERY) => last.disk_bytes,
            _ => server.disk_bytes()?,
        };
        let seconds = started.elapsed().as_secs_f64();
        samples.push(Sample { seconds, rss_bytes: server.rss_bytes()?, cpu_s: server.cpu_s()?, disk_bytes });
        let due = started + EVERY * samples.len() as u32;
        if due > started + lasts {
            wait_until(started + lasts);
            return Ok(samples);
        }
        wait_until(due);
    }
}

/// The medians of the first and the last fifth of some values.
pub(super) fn first_and_last_fifth(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> [f64; 2] {
    let fifth = samples.len().div_ceil(5);
    let middle = |part: &[Sample]| median(part.iter().map(|sample| megabytes(of(sample))));
    [middle(&samples[..fifth]), middle(&samples[samples.len() - fifth..])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifths_are_compared_by_their_medians() {
        let sample = |rss_bytes| Sample { seconds: 0.0, rss_bytes, cpu_s: 0.0, disk_bytes: 0 };
        let samples: Vec<Sample> = (1..=10).map(|megabytes| sample(megabytes * 1_000_000)).collect();
        assert_eq!(first_and_last_fifth(&samples, |sample| sample.rss_bytes), [1.0, 9.0]);
        assert_eq!(first_and_last_fifth(&samples[..1], |sample| sample.rss_bytes), [1.0, 1.0]);
    }
}
