//! Deadlines and places, by a clock that stands still until all wait.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::routing::{get, post};
use futures_util::stream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::body::Steady;
use super::connection::{http1, http2, requests};
use super::places::{Place, Places};
use super::timed::{HEAD_WAIT, IDLE_WAIT, Timed, WRITE_WAIT};
use super::*;

/// A connection with a peer that is this test.
struct Peered {
    io: DuplexStream,
    served: JoinHandle<()>,
    stop: watch::Sender<bool>,
    began: Instant,
}

fn router() -> Router {
    let long = || Body::from(vec![b'x'; 10 << 20]);
    let never = || Body::from_stream(stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    Router::new()
        .route("/", get(async || "ok"))
        .route("/long", get(async move || long()))
        .route("/never", get(async move || never()))
        .route("/slowly", get(async || sleep(Duration::from_secs(100)).await))
        .route(
            "/take",
            post(async |body: Body| match to_bytes(body, usize::MAX).await {
                Ok(bytes) => bytes.len().to_string(),
                Err(error) => error.to_string(),
            }),
        )
}

/// As [`Peered::new`], for a place that is known outside.
fn served(place: Arc<Place>, streams: bool) -> Peered {
    let (io, theirs) = duplex(4096);
    let (stop, stopping) = watch::channel(false);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut timed = Timed::new(theirs, Arc::clone(&place), Instant::now());
    let service = requests(router(), Arc::clone(&place), peer);
    let served = tokio::spawn(async move {
        let _ = if streams {
            timed.has_streams();
            http2(timed, service, stopping).await
        } else {
            http1(timed, service, stopping).await
        };
    });
    place.is_served_by(served.abort_handle());
    Peered { io, served, stop, began: Instant::now() }
}

impl Peered {
    fn new() -> Self {
        served(Places::new(1).take().unwrap(), false)
    }

    async fn says(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads an answer of which the end is known.
    async fn hears(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            let byte = self.io.read_u8().await;
            heard.push(byte.unwrap_or_else(|_| panic!("only {:?}", String::from_utf8_lossy(&heard))));
        }
        String::from_utf8(heard).unwrap()
    }

    /// Waits until the server has ended the connection, and says after how many seconds.
    async fn ends(self) -> u64 {
        self.served.await.unwrap();
        self.began.elapsed().as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_cut() {
    for begins in ["G", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut peer = Peered::new();
        peer.says(begins).await;
        assert_eq!(peer.ends().await, HEAD_WAIT.as_secs(), "{begins:?}");
    }
    let mut peer = Peered::new();
    while peer.io.write_all(b"a").await.is_ok() {
        sleep(Duration::from_secs(1)).await; // bytes that come win no time
    }
    assert_eq!(peer.ends().await, HEAD_WAIT.as_secs() + 1, "the write after the cut");
}

#[tokio::test(start_paused = true)]
async fn idle_connections_stay_for_a_while() {
    let mut peer = Peered::new();
    for _ in 0..3 {
        peer.says("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        peer.hears("\r\n\r\nok").await;
        sleep(IDLE_WAIT - Duration::from_secs(1)).await;
    }
    peer.says("GET / HTTP/1.1\r\n").await; // now it is the head's time that counts
    let (began, mut peer) = (Instant::now(), peer);
    peer.began = began;
    assert_eq!(peer.ends().await, HEAD_WAIT.as_secs());

    let mut peer = Peered::new();
    peer.says("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    peer.hears("ok").await;
    assert_eq!(peer.ends().await, IDLE_WAIT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_long_is_waited_for() {
    let mut peer = Peered::new();
    peer.says("GET /slowly HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(peer.hears("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    assert_eq!(peer.began.elapsed().as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_cut_and_a_slow_one_is_not() {
    let reads = async |bytes: usize, times: usize| {
        let mut peer = Peered::new();
        peer.says("GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut some = vec![0; bytes];
        for _ in 0..times {
            sleep(WRITE_WAIT - Duration::from_secs(1)).await;
            if peer.io.read_exact(&mut some).await.is_err() {
                break;
            }
        }
        peer
    };
    let mut slow = reads(30_000, 10).await;
    slow.began = Instant::now();
    assert_eq!(slow.ends().await, WRITE_WAIT.as_secs(), "after it read no more");
    // It held its place for as long as it liked.
    assert!(reads(1, 2).await.served.is_finished(), "a byte now and then is not reading");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_news_is_no_idle_connection() {
    let mut peer = Peered::new();
    peer.says("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    peer.hears("\r\n\r\n").await;
    sleep(Duration::from_secs(3600)).await;
    assert!(!peer.served.is_finished());
    drop(peer.io);
    peer.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_must_keep_coming() {
    // Nothing; less than is asked for; as much.
    for (bytes_a_second, says) in [(0, "too slowly"), (500, "too slowly"), (2000, "100000")] {
        let mut peer = Peered::new();
        peer.says("POST /take HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n").await;
        let (mut reader, mut writer) = tokio::io::split(peer.io);
        let sent = tokio::spawn(async move {
            for _ in 0..100_000_usize.checked_div(bytes_a_second).unwrap_or(0) {
                sleep(Duration::from_secs(1)).await;
                if writer.write_all(&vec![b'x'; bytes_a_second]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        });
        let mut heard = vec![0; 1000];
        let mut length = 0;
        while !String::from_utf8_lossy(&heard[..length]).contains(says) {
            let read = reader.read(&mut heard[length..]).await.unwrap();
            assert!(read > 0, "{bytes_a_second}: {}", String::from_utf8_lossy(&heard[..length]));
            length += read;
        }
        sent.abort();
    }
}

/// Time in which the server did not ask for more is not the sender's.
#[tokio::test(start_paused = true)]
async fn a_body_that_the_server_reads_slowly_is_not_too_slow() {
    let chunks = stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"x"))));
    let mut body = Body::new(Steady::new(Body::from_stream(chunks))).into_data_stream();
    while let Some(chunk) = futures_util::StreamExt::next(&mut body).await {
        chunk.unwrap();
        sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_was_quiet_for_longest_makes_room() {
    let places = Places::new(3);
    let place = || served(places.take().unwrap(), false);
    let (mut first, mut second, mut third) = (place(), place(), place());
    for peer in [&mut first, &mut third] {
        peer.says("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        peer.hears("ok").await;
    }
    second.says("GET / HTTP/1.1\r\n").await;
    let mut fourth = place();
    assert!(second.served.await.unwrap_err().is_cancelled(), "it had no request yet");
    let fifth = place();
    assert!(first.served.await.unwrap_err().is_cancelled(), "it had been quiet for longer than the third");
    for peer in [&mut third, &mut fourth] {
        peer.says("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
        peer.hears("\r\n\r\n").await;
    }
    let mut sixth = place();
    assert!(fifth.served.await.unwrap_err().is_cancelled());
    sixth.says("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    sixth.hears("\r\n\r\n").await;
    assert!(places.take().is_none(), "all are busy");
    drop(third.io);
    third.served.await.unwrap();
    assert!(places.take().is_some());
}

#[tokio::test(start_paused = true)]
async fn places_are_given_back() {
    let places = Places::new(2);
    for _ in 0..10 {
        let mut peer = served(places.take().unwrap(), false);
        peer.says("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        peer.ends().await;
    }
    places.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_requests_and_for_nothing_else() {
    let mut busy = Peered::new();
    busy.says("GET /slowly HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut idle = Peered::new();
    idle.says("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.hears("ok").await;
    sleep(Duration::from_secs(5)).await;
    for peer in [&busy, &idle] {
        peer.stop.send_replace(true);
    }
    assert_eq!(idle.ends().await, 5);
    assert!(busy.hears("\r\n\r\n").await.contains("connection: close"));
    assert_eq!(busy.ends().await, 100);
}

#[tokio::test(start_paused = true)]
async fn http2_has_idle_time_and_busy_streams_too() {
    let peer = served(Places::new(1).take().unwrap(), true);
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(peer.io)).await.unwrap();
    let driven = tokio::spawn(connection);
    let get = |path: &str| Request::get(format!("http://x{path}")).body(String::new()).unwrap();
    assert!(send.send_request(get("/slowly")).await.unwrap().status().is_success());
    let never = send.send_request(get("/never")).await.unwrap();
    sleep(Duration::from_secs(1000)).await;
    assert!(!driven.is_finished() && !peer.served.is_finished());
    drop(never);
    let quiet = Instant::now();
    peer.served.await.unwrap();
    let quiet = quiet.elapsed();
    assert!(quiet >= IDLE_WAIT && quiet <= IDLE_WAIT + Duration::from_secs(20), "{quiet:?}");
}
