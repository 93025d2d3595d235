//! A request's body, bounded in size, in what all bodies together may hold, and in how slowly it
//! may come.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Limits;
use super::problem::{Problem, Word};
use crate::edge::TooSlow;

/// Before a body's rate counts: a small one may take its time.
const GRACE: Duration = Duration::from_secs(5);
/// What a body must bring on average after that.
const BYTES_A_SECOND_MIN: u32 = 16 << 10;

/// What the bodies of all requests in progress may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(max)), max }
    }

    /// How much of it is held.
    pub(super) fn held(&self) -> usize {
        self.max - self.bytes.available_permits()
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()
    }
}

/// A whole body, which counts against the budget until it is dropped.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

/// Reads a body to its end.
pub(super) async fn collect(mut body: Body, limits: &Limits, budget: &Budget) -> Result<Received, Problem> {
    let max = limits.body_bytes_max;
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    let began = Instant::now();
    let mut held: Option<OwnedSemaphorePermit> = None;
    let mut only = Bytes::new();
    let mut whole = BytesMut::new();
    let mut received = 0;
    loop {
        let earned = Duration::from_secs(received as u64) / BYTES_A_SECOND_MIN;
        let frame = timeout_at(began + GRACE + earned, body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = frame else { break };
        let Ok(chunk) = frame.map_err(cut_off)?.into_data() else { continue };
        received += chunk.len();
        if received > max {
            return Err(too_large(max));
        }
        let more = budget.take(chunk.len()).ok_or_else(too_many)?;
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        if only.is_empty() && whole.is_empty() {
            only = chunk;
        } else {
            if whole.is_empty() {
                whole.reserve(2 * only.len() + chunk.len());
                whole.extend_from_slice(&std::mem::take(&mut only));
            }
            whole.extend_from_slice(&chunk);
        }
    }
    let bytes = if whole.is_empty() { only } else { whole.freeze() };
    Ok(Received { bytes, _held: held })
}

fn too_large(max: usize) -> Problem {
    let detail = format!("the body has more than {max} bytes; send it in smaller parts");
    Problem::new(Word::TooLarge, detail).closing()
}

fn too_many() -> Problem {
    let detail = "the server holds as many bytes of requests as it may; send this one again in a second";
    Problem::new(Word::TooMany, detail).closing()
}

fn too_slow() -> Problem {
    let detail = format!(
        "the body came too slowly: expected {BYTES_A_SECOND_MIN} bytes a second after the first {} s; send smaller requests",
        GRACE.as_secs()
    );
    Problem::new(Word::Timeout, detail).closing()
}

fn cut_off(error: axum::Error) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(slow) = error.downcast_ref::<TooSlow>() {
            return Problem::new(Word::Timeout, format!("{slow}; send smaller requests")).closing();
        }
        cause = error.source();
    }
    Problem::bad_request(format!("the body was cut off: {error}; send the request again, whole")).closing()
}
