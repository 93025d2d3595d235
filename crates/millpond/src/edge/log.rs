//! Log lines that others could provoke without end are written now and then, with their number.

use std::time::Duration;

use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(10);

/// Counts what is not told.
#[derive(Debug, Default)]
pub(crate) struct Sparse {
    told: Option<Instant>,
    times: u64,
}

impl Sparse {
    /// How often it happened since it was told last, if it is time to tell it again.
    pub(crate) fn tell(&mut self) -> Option<u64> {
        self.times += 1;
        if self.told.is_some_and(|told| told.elapsed() < EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}
