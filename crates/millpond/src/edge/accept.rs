//! Listening, and what becomes of those who come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::connection::{self, Shared};
use super::log::Sparse;
use super::places::Places;
use super::stop::begun;
use super::tls::Tls;

/// Connections that the system holds until they are accepted: its own usual limit.
const BACKLOG: u32 = 4096;
/// The system's buffer of one connection: what a slow reader may hold there.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Between accepts that fail.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Refusals that are being said at once; beyond them connections are closed without a word.
const REFUSALS_MAX: usize = 64;
const REFUSAL_WAIT: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// When stopping, for what quiet connections still have to write.
const QUIET_WAIT: Duration = Duration::from_secs(1);

/// Takes an address, without accepting anybody yet.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| match address.port() {
        0 => format!("cannot listen on {address}"),
        port => {
            format!("cannot listen on {address} (is another server on port {port}? --listen takes another address)")
        }
    })
}

/// The server's edge.
pub(crate) struct Edge {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    pub(crate) connections_max: usize,
    pub(crate) stopping: watch::Receiver<bool>,
    /// For requests in progress to end.
    pub(crate) stop_wait: Duration,
}

impl Edge {
    /// Serves until told to stop, and until all requests have ended or had their time.
    pub(crate) async fn serve(self) {
        let Self { listener, router, tls, connections_max, mut stopping, stop_wait } = self;
        let places = Places::new(connections_max);
        let shared = Arc::new(Shared { router, tls, stopping: stopping.clone() });
        tokio::select! {
            () = accept(&listener, &places, &shared) => {}
            () = begun(&mut stopping) => {}
        }
        drop(listener);
        let _ = timeout(QUIET_WAIT.min(stop_wait), places.emptied()).await;
        places.cut_quiet();
        if timeout(stop_wait.saturating_sub(QUIET_WAIT), places.emptied()).await.is_err() {
            let connections = places.cut_all();
            tracing::warn!(connections, "cut connections whose requests did not end in time");
        }
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Places>, shared: &Arc<Shared>) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let (mut failures, mut refused) = (Sparse::default(), Sparse::default());
    let mut backoff = BACKOFF_MIN;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Most likely there are no more files: an idle connection's may be had.
                let cut = places.cut_quietest();
                if let Some(times) = failures.tell() {
                    tracing::error!(%error, times, cut, "cannot accept connections");
                }
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
                continue;
            }
        };
        backoff = BACKOFF_MIN;
        let Some(place) = places.take() else {
            if let Some(times) = refused.tell() {
                tracing::warn!(%peer, times, "refused connections: all places are busy");
            }
            refuse(stream, shared, &refusals);
            continue;
        };
        let _ = stream.set_nodelay(true); // worth no connection
        let task = tokio::spawn(connection::serve(Arc::clone(shared), stream, peer, Arc::clone(&place)));
        place.is_served_by(task.abort_handle());
    }
}

/// Failures that say something about the connection that was to be accepted, nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says 503 to one whom there is no place for; over TLS that would cost a handshake, so it is cut.
fn refuse(mut stream: TcpStream, shared: &Shared, refusals: &Arc<Semaphore>) {
    let Ok(permit) = Arc::clone(refusals).try_acquire_owned() else { return };
    if shared.tls.is_some() {
        return;
    }
    tokio::spawn(async move {
        let say = async {
            stream.write_all(REFUSAL).await?;
            stream.shutdown().await?;
            // Closing a socket with unread bytes would take the answer back.
            let mut unread = [0; 1024];
            while stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(REFUSAL_WAIT, say).await;
        drop(permit);
    });
}
