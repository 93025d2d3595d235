//! A socket that ends with an error when its peer is too slow: at sending a request's head, at
//! asking again, or at reading what it asked for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::places::{Busy, Place};

/// For a request's head, from its first byte; for the first one from the accept on, the TLS
/// handshake included.
pub(super) const HEAD_WAIT: Duration = Duration::from_secs(10);
/// For the next request's first byte. Longer than the 60 s of most proxies, so that they close first.
pub(super) const IDLE_WAIT: Duration = Duration::from_secs(75);
/// How long a peer may be waited for in all to take what is to be written, before what it took counts.
pub(super) const WRITE_WAIT: Duration = Duration::from_secs(30);
/// It earns a second of waiting by so many bytes; never more than at the start.
const WRITTEN_BYTES_A_SECOND: u32 = 1024;

/// A stream with deadlines.
pub(super) struct Timed<S> {
    stream: S,
    place: Arc<Place>,
    /// Whether the bytes of one request's head follow each other; not so in HTTP/2.
    heads: bool,
    head_began: bool,
    quiet_since: Instant,
    round: u32,
    quiet: Deadline,
    /// Since when the peer has taken nothing; the connection is busy, whether or not a request is.
    stalled: Option<(Instant, Busy)>,
    stalled_timer: Deadline,
    write_credit: Duration,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, place: Arc<Place>, accepted: Instant) -> Self {
        Self {
            stream,
            place,
            heads: true,
            head_began: true,
            quiet_since: accepted,
            round: 0,
            quiet: Deadline::default(),
            stalled: None,
            stalled_timer: Deadline::default(),
            write_credit: WRITE_WAIT,
        }
    }

    /// From now on there is no telling where a request's head begins: only the idle time counts.
    pub(super) fn has_streams(&mut self) {
        (self.heads, self.head_began, self.quiet_since) = (false, false, Instant::now());
    }

    fn notice_round(&mut self) {
        let round = self.place.rounds();
        if std::mem::replace(&mut self.round, round) != round {
            (self.head_began, self.quiet_since) = (false, self.place.quiet_since());
        }
    }

    fn received(&mut self) {
        if self.heads && !self.place.is_busy() {
            self.notice_round();
            if !std::mem::replace(&mut self.head_began, true) {
                self.quiet_since = Instant::now();
            }
        }
    }

    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.place.is_busy() {
            // Nobody asks again when the request ends: the timer must be there by then, and looks.
            return self.quiet.poll(cx, Instant::now() + IDLE_WAIT).map(|()| Ok(()));
        }
        self.notice_round();
        let wait = if self.head_began { HEAD_WAIT } else { IDLE_WAIT };
        ready!(self.quiet.poll(cx, self.quiet_since + wait));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn wait_to_write(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = &written {
            let waited = self.stalled.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
            let earned = Duration::from_secs(*written.as_ref().unwrap_or(&0) as u64) / WRITTEN_BYTES_A_SECOND;
            self.write_credit = (self.write_credit.saturating_sub(waited) + earned).min(WRITE_WAIT);
        }
        if written.is_ready() {
            return written;
        }
        let (since, _) = self.stalled.get_or_insert_with(|| (Instant::now(), self.place.begin()));
        ready!(self.stalled_timer.poll(cx, *since + self.write_credit));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending() {
            return self.wait_to_read(cx);
        }
        if buf.filled().len() > before {
            self.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wait_to_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wait_to_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A timer that is made when it is needed first, and set anew only where it would ring too late.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}
