//! The places for connections. When all are taken, the connection that has been without a request
//! for longest makes room: so many silent ones never lock the others out.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    taken: Mutex<Taken>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    connections: HashMap<u64, Connection>,
    /// Connections without a request in progress, those that have been so for longest first.
    quiet: BTreeMap<u64, u64>,
    /// Counts the places given, and the moments of becoming quiet.
    turn: u64,
}

#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    requests: u32,
    quiet_since: u64,
}

impl Taken {
    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn cut_quietest(&mut self) -> bool {
        let Some((_, id)) = self.quiet.pop_first() else { return false };
        if let Some(cut) = self.connections.remove(&id) {
            cut.task.abort();
        }
        true
    }
}

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default(), emptied: Notify::new() })
    }

    /// A place for a new connection, made by cutting another if need be; none if all are busy.
    pub(super) fn take(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut taken = self.taken();
        if taken.connections.len() >= self.max && !taken.cut_quietest() {
            return None;
        }
        let id = taken.next_turn();
        Some(Arc::new(Place {
            places: Arc::clone(self),
            id,
            requests: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
            quiet_since: Mutex::new(Instant::now()),
        }))
    }

    /// Cuts the connection that has been quiet for longest, if there is one.
    pub(super) fn cut_quietest(&self) -> bool {
        self.taken().cut_quietest()
    }

    /// Cuts all connections without a request in progress.
    pub(super) fn cut_quiet(&self) {
        let mut taken = self.taken();
        while taken.cut_quietest() {}
        self.tell(&taken);
    }

    /// Cuts all; how many there were.
    pub(super) fn cut_all(&self) -> usize {
        let connections = std::mem::take(&mut self.taken().connections);
        connections.values().for_each(|connection| connection.task.abort());
        connections.len()
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            let told = self.emptied.notified();
            if self.taken().connections.is_empty() {
                return;
            }
            told.await;
        }
    }

    fn tell(&self, taken: &Taken) {
        if taken.connections.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    requests: AtomicU32,
    rounds: AtomicU32,
    quiet_since: Mutex<Instant>,
}

impl Place {
    /// Names the task that serves the connection, which is quiet at first.
    pub(super) fn is_served_by(&self, task: AbortHandle) {
        let mut taken = self.places.taken();
        let quiet_since = taken.next_turn();
        let requests = self.requests.load(Ordering::Relaxed); // one may have begun before
        if requests == 0 {
            taken.quiet.insert(quiet_since, self.id);
        }
        taken.connections.insert(self.id, Connection { task, requests, quiet_since });
    }

    /// Whether a request is in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// How often the last request in progress has ended.
    pub(super) fn rounds(&self) -> u32 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// When that was last; the beginning, if there was no request yet.
    pub(super) fn quiet_since(&self) -> Instant {
        *self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins; it ends when the answer's last byte is handed over.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        let mut taken = self.places.taken();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let Taken { connections, quiet, .. } = &mut *taken;
        if let Some(connection) = connections.get_mut(&self.id) {
            connection.requests += 1;
            quiet.remove(&connection.quiet_since);
        }
        drop(taken);
        Busy(Arc::clone(self))
    }

    fn end(&self) {
        let mut taken = self.places.taken();
        if self.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
        let now = taken.next_turn();
        let Taken { connections, quiet, .. } = &mut *taken;
        let Some(connection) = connections.get_mut(&self.id) else { return };
        connection.requests -= 1;
        if connection.requests == 0 {
            connection.quiet_since = now;
            quiet.insert(now, self.id);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(gone) = taken.connections.remove(&self.id) {
            taken.quiet.remove(&gone.quiet_since);
        }
        self.places.tell(&taken);
    }
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.end();
    }
}
