//! Bodies: a request's must keep coming, and an answer's keeps its connection busy to the end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::places::Busy;

/// How long a sender may be waited for in all, before what it sent counts.
const CREDIT: Duration = Duration::from_secs(30);
/// A sender earns a second of waiting by so many bytes; never more than the credit at the start.
const BYTES_A_SECOND: u32 = 1024;

/// The request's body came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly: at least {BYTES_A_SECOND} bytes a second, and a pause of at most {} seconds", CREDIT.as_secs())]
pub(crate) struct TooSlow;

/// A request's body with [`TooSlow`] at its end if need be. Only time spent waiting for the sender
/// counts, none in which the server was not asking.
pub(super) struct Steady<B> {
    body: B,
    credit: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> Steady<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, credit: CREDIT, waiting: None }
    }
}

impl<B> Body for Steady<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let credit = self.credit;
            let (_, timer) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(credit))));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(TooSlow.into())));
        };
        if let Some((since, _)) = self.waiting.take() {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            let earned = Duration::from_secs(bytes as u64) / BYTES_A_SECOND;
            self.credit = (self.credit.saturating_sub(since.elapsed()) + earned).min(CREDIT);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: as long as it is there, its connection is busy.
pub(super) struct Held {
    body: axum::body::Body,
    _busy: Busy,
}

impl Held {
    pub(super) fn new(body: axum::body::Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
