//! One join of a server: its store, and the threads that work on it.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use millpond_core::{Join, Rejection};
use millpond_store::{Error, Outcome, Store};
use tokio::sync::{mpsc, oneshot, watch};

use super::committer::{self, Waiting};
use super::samples::{self, Kept, Sample};
use super::upkeep::{self, Upkeep};
use super::{Clock, Refused};

/// Requests that wait for their commit; more wait before they are let in.
const WAITING_MAX: usize = 1_024;

/// The events of one request.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: Bytes,
    /// Where in it the events lie.
    pub(crate) events: Vec<Range<usize>>,
    /// Pieces that cannot be events, and why.
    pub(crate) broken: Vec<(Range<usize>, Rejection)>,
}

/// What became of a parcel: one outcome an event and key it joins, with the event's place; broken
/// pieces are counted on behind the events.
pub(crate) type Outcomes = Vec<(u32, Outcome)>;

/// How commits are shared, since the server started.
#[derive(Debug, Default)]
pub(crate) struct CommitCounts {
    pub(crate) commits: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) events: AtomicU64,
}

/// Says once why a store has stopped: all that is refused for it afterwards says nothing new.
#[derive(Debug, Default)]
pub(super) struct Failed(OnceLock<()>);

impl Failed {
    pub(super) fn tell(&self, join: &str, reason: &str) {
        self.0.get_or_init(|| tracing::error!(join, reason, "its store has stopped; only a new start goes on"));
    }
}

/// A join that is served.
pub(crate) struct Hosted {
    name: String,
    join: Join,
    /// When it began to be served.
    since: u64,
    /// Empty once it is no longer served.
    store: Arc<RwLock<Option<Store>>>,
    parcels: Mutex<Option<mpsc::Sender<Waiting>>>,
    commits: watch::Sender<Option<u64>>,
    counts: Arc<CommitCounts>,
    samples: Arc<Kept>,
    failed: Arc<Failed>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Of what works beside commits.
    stop: Arc<upkeep::Stop>,
}

impl Hosted {
    /// Starts the threads of a join's store; without `upkeep` none beside that which commits.
    pub(super) fn start(store: Store, clock: Clock, upkeep: Option<Upkeep>) -> Result<Arc<Self>, Error> {
        let name = store.join().name().to_owned();
        let join = Join::parse(store.join().source_text()).expect("a definition that is served was parsed before");
        let (commits, _) = watch::channel(Some(store.last_commit()));
        let told = commits.clone();
        store.on_commit(move |commit| {
            told.send_if_modified(|last| last.as_mut().is_some_and(|last| std::mem::replace(last, commit) < commit));
        });
        let samples = Arc::new(Kept::default());
        let since = clock();
        samples.take(&store, since);
        let store = Arc::new(RwLock::new(Some(store)));
        let (parcels, waiting) = mpsc::channel(WAITING_MAX);
        let counts = Arc::new(CommitCounts::default());
        let stop = Arc::new(upkeep::Stop::default());
        let failed = Arc::new(Failed::default());
        let hosted = Arc::new(Self {
            name,
            join,
            since,
            store,
            parcels: Mutex::new(Some(parcels)),
            commits,
            counts,
            samples,
            failed,
            threads: Mutex::default(),
            stop,
        });
        // If a thread cannot be started, what was started ends with this.
        let (of, shared) = (hosted.name.clone(), Arc::clone(&hosted.store));
        let (counted, fails) = (Arc::clone(&hosted.counts), Arc::clone(&hosted.failed));
        hosted.begin("millpond-commit", move || committer::run(&of, &shared, waiting, clock, &counted, &fails))?;
        let Some(upkeep) = upkeep else { return Ok(hosted) };
        let (of, shared, stop) = (hosted.name.clone(), Arc::clone(&hosted.store), Arc::clone(&hosted.stop));
        hosted.begin("millpond-upkeep", move || upkeep::run(&of, &shared, &stop, clock, upkeep))?;
        let (shared, kept, stop) = (Arc::clone(&hosted.store), Arc::clone(&hosted.samples), Arc::clone(&hosted.stop));
        hosted.begin("millpond-sample", move || samples::run(&shared, &kept, &stop, clock))?;
        Ok(hosted)
    }

    /// Begins to work in a thread of its own.
    fn begin(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(work);
        let thread = thread.map_err(|source| Error::Io { what: "start a thread for", path: name.into(), source })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// The join's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The definition it serves.
    pub(crate) fn join(&self) -> &Join {
        &self.join
    }

    /// When it began to be served, in milliseconds since 1970 UTC.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// How commits were shared.
    pub(crate) fn commit_counts(&self) -> &CommitCounts {
        &self.counts
    }

    /// What it had counted at times later than one.
    pub(crate) fn samples(&self, after: Option<u64>) -> Vec<Sample> {
        self.samples.after(after)
    }

    /// Why its store has stopped for good, if it has.
    pub(crate) fn failure(&self) -> Option<String> {
        // Whoever takes the store away waits for it to be free: the join is no longer served then.
        let store = self.store.try_read().ok()?;
        store.as_ref()?.stopped()
    }

    /// Works on the store, on the caller's thread: it may wait for the disk.
    ///
    /// # Errors
    /// [`Refused::Left`] if it is not served any more; [`Refused::Store`] with the store's error.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&Store) -> Result<R, Error>) -> Result<R, Refused> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let store = store.as_ref().ok_or_else(|| self.left())?;
        work(store).map_err(|error| {
            if let Error::Stopped { reason } = &error {
                self.failed.tell(&self.name, reason);
            }
            Refused::of(&self.name, error)
        })
    }

    /// As [`Hosted::with`], where waiting for the disk holds nobody up.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn run<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Store) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Refused> {
        let hosted = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || hosted.with(work)).await;
        done.unwrap_or_else(|error| {
            let reason = format!("a thread of it panicked: {error}");
            tracing::error!(join = self.name, reason, "a request failed");
            Err(Refused::Stopped { name: self.name.clone(), reason })
        })
    }

    /// Joins events durably, in one commit with those of other requests.
    ///
    /// # Errors
    /// If it is not served any more, or its store has failed: then nothing is acknowledged, and the
    /// same parcel can be given again.
    pub(crate) async fn ingest(&self, parcel: Arc<Parcel>) -> Result<Outcomes, Refused> {
        let parcels = self.parcels.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        let gone = |_| self.left();
        let parcels = parcels.ok_or(()).map_err(gone)?;
        parcels.send(Waiting { parcel, answer }).await.map_err(|_| gone(()))?;
        answered.await.unwrap_or_else(|_| Err(gone(())))
    }

    /// The last durable commit, as it grows; `None` once the join is no longer served.
    pub(crate) fn commits(&self) -> watch::Receiver<Option<u64>> {
        self.commits.subscribe()
    }

    /// Ends its threads, once what waits is committed, and hands the store over. `None` if that was
    /// done before. Blocks until nobody reads any more.
    pub(super) fn retire(&self) -> Option<Store> {
        drop(self.parcels.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.stop.stop();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic there has answered its requests with a refusal; the store decides what it is worth.
            let _ = thread.join();
        }
        self.commits.send_replace(None);
        self.store.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn left(&self) -> Refused {
        Refused::Left { name: self.name.clone() }
    }
}

impl Drop for Hosted {
    /// Who was not retired leaves no thread behind that holds the store.
    fn drop(&mut self) {
        self.stop.stop();
    }
}
