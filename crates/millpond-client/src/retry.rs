//! When a request is sent again: a decision, without clock or chance of its own.

use std::time::Duration;

/// How often and how long a request that may be repeated is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all; 1 is none again.
    pub attempts_max: u32,
    /// No attempt begins later than this after the first one.
    pub total: Duration,
    /// The longest wait after the first attempt; it doubles with each.
    pub first: Duration,
    /// No wait is longer than this, but for one that the server asks for.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 6,
            total: Duration::from_secs(30),
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

impl Retry {
    /// Never again.
    #[must_use]
    pub fn never() -> Self {
        Self { attempts_max: 1, ..Self::default() }
    }

    /// For as long as this, however many attempts that takes.
    #[must_use]
    pub fn for_up_to(total: Duration) -> Self {
        Self { attempts_max: u32::MAX, total, ..Self::default() }
    }

    /// How long to wait after a failed attempt (the first is 0), `spent` after the first began; none
    /// if there shall be no other. `chance` is in 0..1: waits are spread over the whole span, so that
    /// clients that failed together do not come back together.
    #[must_use]
    pub fn wait(&self, attempt: u32, spent: Duration, chance: f64, asked_for: Option<Duration>) -> Option<Duration> {
        if attempt.saturating_add(1) >= self.attempts_max {
            return None;
        }
        let wait = asked_for.unwrap_or_default() + self.backoff(attempt, chance);
        (spent + wait <= self.total).then_some(wait)
    }

    /// The wait without any bound on their number.
    pub(crate) fn backoff(&self, attempt: u32, chance: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempt.min(20));
        doubled.min(self.longest).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry {
        attempts_max: 5,
        total: Duration::from_secs(10),
        first: Duration::from_millis(100),
        longest: Duration::from_millis(350),
    };

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let waits: Vec<_> = (0..6).map(|attempt| RETRY.wait(attempt, Duration::ZERO, 1.0, None)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(100), ms(200), ms(350), ms(350), None, None]);
        assert_eq!(RETRY.wait(1, Duration::ZERO, 0.25, None), ms(50));
    }

    #[test]
    fn a_wait_that_the_server_asks_for_is_kept_unless_it_is_beyond_all_time() {
        let asked = Some(Duration::from_secs(2));
        assert_eq!(RETRY.wait(0, Duration::ZERO, 0.5, asked), Some(Duration::from_millis(2050)));
        assert_eq!(RETRY.wait(0, Duration::from_secs(9), 0.5, asked), None);
        assert_eq!(RETRY.wait(0, Duration::ZERO, 0.0, Some(Duration::MAX / 2)), None);
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let retry = Retry::for_up_to(Duration::from_secs(60));
        assert_eq!(retry.wait(4_000_000, Duration::ZERO, 1.0, None), Some(retry.longest));
    }
}
