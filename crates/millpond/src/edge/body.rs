//! Bodies: a request's must keep coming, and is read to its end even where nobody wants it; an
//! answer's keeps its connection busy to the end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout};

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

/// Of a request's body that nobody wants any more, so much is read, for so long: whoever is still
/// sending reads the answer only then, and closing a socket with unread bytes takes it back.
const UNWANTED_BYTES_MAX: usize = 32 << 20;
const UNWANTED_WAIT: Duration = Duration::from_secs(2);

/// A request's body whose rest is read and thrown away when it is dropped before its end.
pub(super) struct Finished<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    body: Option<B>,
    /// The sender waits to be told to send the body, which the first look at it does.
    asks_first: bool,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Finished<B> {
    pub(super) fn new(body: B, asks_first: bool) -> Self {
        Self { body: Some(body), asks_first }
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Finished<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.asks_first = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Finished<B> {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !self.asks_first && !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let rest = async move {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read > UNWANTED_BYTES_MAX {
                    break;
                }
            }
        };
        runtime.spawn(timeout(UNWANTED_WAIT, rest));
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
