//! What the clients of a server that dies share: where it is now, and whether anybody has failed.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::server::{Heard, LONG, Peer};

/// How long a client waits before it looks for the server again.
const AGAIN: Duration = Duration::from_millis(2);

/// The clients' common state.
#[derive(Default)]
pub(crate) struct Load {
    address: Mutex<Option<SocketAddr>>,
    sent_enough: AtomicBool,
    stopped: AtomicBool,
    failed: AtomicBool,
    requests: AtomicU64,
    /// The documents that the follower was told last.
    pub(crate) told: Mutex<BTreeMap<String, String>>,
}

impl Load {
    /// Where the server listens, if it lives.
    pub(crate) fn at(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap() = address;
    }

    pub(crate) fn stop_sending(&self) {
        self.sent_enough.store(true, Ordering::SeqCst);
    }

    pub(crate) fn sent_enough(&self) -> bool {
        self.sent_enough.load(Ordering::SeqCst)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The views that the follower knows, in the order of keys.
    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().values().map(|document| document.clone() + "\n").collect()
    }

    /// Another thread's failure is this one's.
    pub(crate) fn check(&self) {
        assert!(!self.failed.load(Ordering::SeqCst), "another client has failed");
    }

    /// Does a client's work; its failure ends all.
    pub(crate) fn guarded<R>(&self, work: impl FnOnce() -> R) -> R {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            self.failed.store(true, Ordering::SeqCst);
            self.sent_enough.store(true, Ordering::SeqCst);
            resume_unwind(panic)
        })
    }

    /// A connection to the server that lives now, or will.
    pub(crate) fn connect(&self) -> Peer<TcpStream> {
        let began = Instant::now();
        loop {
            self.check();
            assert!(began.elapsed() < LONG, "there is no server");
            let address = *self.address.lock().unwrap();
            if let Some(stream) = address.and_then(|address| TcpStream::connect(address).ok()) {
                return Peer::new(stream);
            }
            sleep(AGAIN);
        }
    }

    /// Asks on a connection that is kept; `None` if the server died first, and then the next one is another.
    pub(crate) fn ask(&self, kept: &mut Option<Peer<TcpStream>>, request: &str) -> Option<Heard> {
        self.check();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut peer = kept.take().unwrap_or_else(|| self.connect());
        let heard = peer.0.write_all(request.as_bytes()).ok().and_then(|()| peer.hears())?;
        *kept = Some(peer);
        Some(heard)
    }
}
