//! One connection, from the accept to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response, Version, body::Incoming, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::Peer;
use super::body::{Finished, Held, Steady};
use super::places::Place;
use super::stop::begun;
use super::timed::{HEAD_WAIT, Timed};
use super::tls::{ALPN_HTTP2, Tls};

/// A request's head: line and fields.
const HEAD_BYTES_MAX: u32 = 32 << 10;
/// What HTTP/1 reads ahead, and an answer's bytes that wait for the socket.
const BUFFER_BYTES: usize = 64 << 10;
/// Requests in progress of one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// What an HTTP/2 peer may send before it is read: of one body, and of all.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// A ping to an HTTP/2 peer, and how long its answer may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WAIT: Duration = Duration::from_secs(20);

/// What all connections share.
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) tls: Option<Tls>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Serves one connection. Its task may be aborted at any time.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, place: Arc<Place>) {
    let accepted = Instant::now();
    let mut stopping = shared.stopping.clone();
    // No buffer is allocated for a peer that says nothing. (`readable` may be wrong, `peek` is not.)
    let mut first = [0];
    tokio::select! {
        peeked = timeout_at(accepted + HEAD_WAIT, stream.peek(&mut first)) => {
            if !matches!(peeked, Ok(Ok(1))) {
                return;
            }
        }
        () = begun(&mut stopping) => return,
    }
    let stream = Timed::new(stream, Arc::clone(&place), accepted);
    let service = requests(shared.router.clone(), place, peer);
    let ended = match &shared.tls {
        None => Box::pin(http1(stream, service, stopping)).await.map_err(|error| error.to_string()),
        Some(tls) => Box::pin(secured(stream, tls, service, stopping)).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "connection ended");
    }
}

/// Gives each request to the router, and keeps the connection busy until the answer is written.
pub(super) fn requests(
    router: Router,
    place: Arc<Place>,
    peer: SocketAddr,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + Clone {
    service_fn(move |request: Request<Incoming>| {
        let busy = place.begin();
        let router = router.clone();
        async move {
            // In HTTP/2 a stream ends without a word of the others, and its answer is not lost.
            let whole = request.version() < Version::HTTP_2;
            let asks_first = request.headers().contains_key(header::EXPECT);
            let mut request = request.map(|body| match whole {
                true => Body::new(Steady::new(Finished::new(body, asks_first))),
                false => Body::new(Steady::new(body)),
            });
            request.extensions_mut().insert(Peer(peer));
            let response: Response<Body> = router.oneshot(request).await?;
            Ok::<_, Infallible>(response.map(|body| Body::new(Held::new(body, busy))))
        }
    })
}

async fn secured<S>(
    stream: Timed<TcpStream>,
    tls: &Tls,
    service: S,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), String>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send + 'static> + Send,
{
    let shake = TlsAcceptor::from(tls.config()).accept(stream);
    let mut stream = tokio::select! {
        shaken = shake => shaken.map_err(|error| format!("TLS handshake: {error}"))?,
        () = begun(&mut stopping) => return Ok(()),
    };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
        stream.get_mut().0.has_streams();
        return http2(stream, service, stopping).await.map_err(|error| error.to_string());
    }
    http1(stream, service, stopping).await.map_err(|error| error.to_string())
}

pub(super) async fn http1<T, S>(stream: T, service: S, mut stopping: watch::Receiver<bool>) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None) // `Timed` does it: this one would count idle time too
        .max_header_size(HEAD_BYTES_MAX as usize)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = begun(&mut stopping) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

pub(super) async fn http2<T, S>(stream: T, service: S, mut stopping: watch::Receiver<bool>) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send + 'static>,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_send_buf_size(BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = begun(&mut stopping) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
