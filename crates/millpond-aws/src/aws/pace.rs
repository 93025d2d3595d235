//! How long to go on trying: backoff with full jitter, up to a deadline.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{Advice, Error, advice, said};

const FIRST_WAIT: Duration = Duration::from_millis(25);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Until when calls are tried again, and by which chance they wait.
#[derive(Debug)]
pub struct Pace {
    deadline: Instant,
    chance: Mutex<fastrand::Rng>,
}

/// The attempt of a call, from 0.
pub type Attempt = u32;

/// What a refusal means to the caller.
#[derive(Debug)]
pub enum Judged<T> {
    /// It is an answer.
    Answer(T),
    /// Not now.
    Again,
    /// What it means to everybody.
    ByItsCode,
}

/// For calls of which no refusal is an answer.
pub fn never<E, T>(_: &E, _: Attempt) -> Judged<T> {
    Judged::ByItsCode
}

impl Pace {
    /// Until `deadline`; waits are drawn from `seed`.
    #[must_use]
    pub fn new(deadline: Instant, seed: u64) -> Self {
        Self { deadline, chance: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }

    /// Calls until it is done, cannot be, or there is no more time. What the service refuses is
    /// judged by `judge` first: it may be an answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Refused`].
    pub async fn call<T, E, F>(
        &self,
        what: &'static str,
        call: impl Fn() -> F,
        judge: impl Fn(&E, Attempt) -> Judged<T>,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut attempt = 0;
        loop {
            let error = match timeout_at(self.deadline, call()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(elapsed) => {
                    return Err(Error::Unavailable { what, attempts: attempt + 1, why: elapsed.to_string() });
                }
            };
            let judged = match &error {
                SdkError::ServiceError(service) => judge(service.err(), attempt),
                _ => Judged::ByItsCode,
            };
            match judged {
                Judged::Answer(answer) => return Ok(answer),
                Judged::ByItsCode if advice(&error) == Advice::Stop => {
                    return Err(Error::Refused { what, why: said(&error) });
                }
                Judged::ByItsCode | Judged::Again => {}
            }
            attempt += 1;
            if !self.wait(attempt).await {
                return Err(Error::Unavailable { what, attempts: attempt, why: said(&error) });
            }
        }
    }

    /// Waits before an attempt; whether there is time for it.
    pub async fn wait(&self, attempt: Attempt) -> bool {
        let longest = FIRST_WAIT.saturating_mul(1 << attempt.min(16)).min(WAIT_MAX);
        let part = self.chance.lock().unwrap_or_else(PoisonError::into_inner).f64();
        let until = Instant::now() + longest.mul_f64(part);
        if until >= self.deadline {
            return false;
        }
        sleep(until - Instant::now()).await;
        true
    }
}
