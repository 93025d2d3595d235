//! One join's store: an arrival-order log in front of sorted tables, behind one lock.
//!
//! A commit decides and folds in memory, appends one frame to the log, and is acknowledged when
//! that frame is on disk. Whoever reads a key that is just being committed waits for the disk, so
//! nothing is ever seen that a crash could take back.

mod changes;
mod commit;
mod cursor;
mod erase;
mod ingest;
mod late;
mod open;
mod quarantine;
mod read;
mod rebuild;
mod side;
mod snapshot;
mod verify;

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use millpond_core::Join;

pub(crate) use changes::Erasures;
pub use changes::{ChangePage, Changed, Filter};
pub use cursor::{Cursor, NotACursor};
pub(crate) use erase::COMPACTION_OWED;
pub use erase::Erasure;
pub use ingest::{BATCH_BYTES_MAX, Batch, Mark, Outcome};
pub use late::{Accepted, LateEntry};
pub use open::Opened;
pub use quarantine::{QuarantineEntry, Retried};
pub use read::{AsOf, KeyView, ListedView, RowsPage};
pub use rebuild::Rebuilt;
pub use snapshot::{Maintained, Step};
pub use verify::{KeyDifference, Verified};

use crate::activity::Activity;
use crate::counters::Counters;
use crate::duplicates::Duplicate;
use crate::error::Error;
use crate::flush::{Frozen, Records};
use crate::log::{Forgotten, Log};
use crate::lsm::{Lsm, Sight};
use crate::memory::Memory;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc, thread::JoinHandle};

/// How much memory the store may take, and whether it waits for the disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of views kept in memory.
    pub cache_bytes: usize,
    /// Bytes of new rows kept in memory before they are flushed; twice this while a flush runs.
    pub memtable_bytes: usize,
    /// Bytes of table blocks kept in memory.
    pub block_cache_bytes: u64,
    /// Bytes of the log that are kept behind the last flush, so that who reads changes can go on
    /// from there.
    pub log_bytes_kept: u64,
    /// Bytes of the newest repeats kept in memory, for who asks which came; none if 0.
    pub duplicates_bytes_kept: usize,
    /// Whether a commit is on disk before it is acknowledged. Off only where the source can be
    /// read again, as in a rebuild.
    pub durable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            memtable_bytes: 64 << 20,
            block_cache_bytes: 64 << 20,
            log_bytes_kept: 128 << 20,
            duplicates_bytes_kept: 0,
            durable: true,
        }
    }
}

/// The durable views of one join. All methods may be called from many threads.
pub struct Store {
    join: Join,
    /// Tells it from other joins of the same name.
    history: u64,
    edition: u32,
    dir: PathBuf,
    options: Options,
    lsm: Arc<Lsm>,
    /// Held for the whole of a commit: there is one writer at a time.
    writer: Mutex<Writer>,
    /// Held while everything is written anew.
    compacting: Mutex<()>,
    shared: Arc<Shared>,
    flusher: Option<(mpsc::Sender<Flush>, JoinHandle<()>)>,
}

/// The log, and the frame on its way there.
struct Writer {
    log: Log,
    /// A copy of the memtable's newest bytes, so that its lock need not be held while the disk works.
    frame: Vec<u8>,
}

/// What the flusher's thread is to do.
struct Flush {
    frozen: Arc<Frozen>,
    /// Of older memtables, which the tables have: removed first.
    forgotten: Forgotten,
}

/// What the flusher's thread shares with the rest.
struct Shared {
    memory: Mutex<Memory>,
    /// Told whenever something became durable, flushed, or stopped.
    changed: Condvar,
    /// Of the log, when somebody last knew.
    log_bytes: AtomicU64,
    /// Told of each durable commit.
    listener: OnceLock<Listener>,
}

type Listener = Box<dyn Fn(u64) + Send + Sync>;

impl Shared {
    /// A panic under the lock leaves memory half changed: then the store is stopped, not used.
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut memory = poisoned.into_inner();
            memory.stopped.get_or_insert_with(|| "a thread panicked in the middle of a change".to_owned());
            memory
        })
    }

    /// Tells of a durable commit.
    fn tell(&self, commit: u64) {
        self.changed.notify_all();
        if let Some(listener) = self.listener.get() {
            listener(commit);
        }
    }

    fn stop(&self, reason: String) {
        self.lock().stopped.get_or_insert(reason);
        self.changed.notify_all();
    }
}

impl Store {
    /// The definition it serves.
    #[must_use]
    pub fn join(&self) -> &Join {
        &self.join
    }

    /// Tells apart what versions and cursors are good for: another join that had the same name, or
    /// another text of the definition, gives another.
    #[must_use]
    pub fn edition(&self) -> u32 {
        self.edition
    }

    /// Why it has stopped for good; `None` while it works.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.shared.lock().stopped.clone()
    }

    /// What was counted since the join was made, by commits that are durable. Waits for none that is
    /// under way. What only counts (repeats, types that are ignored) is stored with the next commit that has more.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.lock().counted().0.clone()
    }

    /// How much work the events since the opening were, as [`Store::counters`].
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.shared.lock().counted().1
    }

    /// The newest repeats of all keys or of one, the newest first: as many as
    /// [`Options::duplicates_bytes_kept`] remembers since the opening.
    ///
    /// # Errors
    /// If the store has stopped.
    pub fn duplicates(&self, key: Option<&str>, limit: usize) -> Result<Vec<Duplicate>, Error> {
        Ok(self.memory()?.duplicates.newest(key, limit))
    }

    /// The last durable commit.
    #[must_use]
    pub fn last_commit(&self) -> u64 {
        self.shared.lock().durable
    }

    /// Has `listener` told of each commit once it is durable, in their order; the first listener
    /// stays. It runs on the thread that commits, and must not come back to the store.
    pub fn on_commit(&self, listener: impl Fn(u64) + Send + Sync + 'static) {
        let _ = self.shared.listener.set(Box::new(listener));
    }

    /// Keys whose states are larger than [`millpond_core::state::STATE_BYTES_WARN`], with their
    /// bytes: some of those flushed since the store was opened.
    #[must_use]
    pub fn large_states(&self) -> Vec<(String, usize)> {
        self.shared.lock().large.iter().map(|(key, bytes)| (key.to_string(), *bytes)).collect()
    }

    /// Bytes on disk: log and tables. While somebody commits, the log's are those after the commit before.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        if let Ok(writer) = self.writer.try_lock() {
            self.shared.log_bytes.store(writer.log.bytes(), Ordering::Relaxed);
        }
        self.shared.log_bytes.load(Ordering::Relaxed) + self.lsm.bytes()
    }

    /// The memory, if the store is not stopped.
    fn memory(&self) -> Result<MutexGuard<'_, Memory>, Error> {
        usable(self.shared.lock())
    }

    /// Moves everything from the log into the tables, so that the next opening has nothing to
    /// replay.
    ///
    /// # Errors
    /// If the tables cannot be written.
    pub fn flush(&self) -> Result<(), Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush_log(&mut writer.log)
    }

    /// Waits until nothing is on its way to the tables: for who must not depend on when a thread gets its turn.
    ///
    /// # Errors
    /// If the store has stopped.
    pub fn wait_for_flush(&self) -> Result<(), Error> {
        self.thawed().map(drop)
    }

    /// All tables as of one moment: nobody commits between the flush and the look.
    fn flushed_sight(&self) -> Result<Sight, Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush_log(&mut writer.log)?;
        Ok(self.lsm.sight())
    }

    fn flush_log(&self, log: &mut Log) -> Result<(), Error> {
        let memory = self.thawed()?;
        if memory.active.is_empty() {
            return Ok(());
        }
        self.freeze(log, memory)?;
        let flushed = self.thawed()?.flushed;
        log.remove_through(flushed, self.options.log_bytes_kept)?;
        Ok(())
    }

    /// The memory, once all that it shows is durable.
    fn settled(&self) -> Result<MutexGuard<'_, Memory>, Error> {
        let mut memory = self.memory()?;
        while memory.durable < memory.active.last_commit {
            memory = self.wait(memory)?;
        }
        Ok(memory)
    }

    fn wait<'m>(&'m self, memory: MutexGuard<'m, Memory>) -> Result<MutexGuard<'m, Memory>, Error> {
        // A panic elsewhere has left memory half changed: whoever waits must not go on with it.
        let Ok(memory) = self.shared.changed.wait(memory) else { return self.memory() };
        usable(memory)
    }

    /// Has the disk be full in the middle of the next commit's frame.
    #[cfg(shuttle)]
    #[doc(hidden)]
    pub fn fill_disk(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).log.fill_disk();
    }

    /// Flushes and closes: what dropping the store does not, since the log has everything.
    ///
    /// # Errors
    /// If the tables cannot be written; nothing acknowledged is lost.
    pub fn close(self) -> Result<(), Error> {
        if self.memory()?.uncounted {
            self.commit(|commit| {
                commit.keep_counts();
                Ok(())
            })?;
        }
        self.flush()
    }

    /// Waits until no memtable is being flushed.
    fn thawed(&self) -> Result<MutexGuard<'_, Memory>, Error> {
        let mut memory = self.memory()?;
        while memory.frozen.is_some() {
            memory = self.wait(memory)?;
        }
        Ok(memory)
    }

    /// Hands the memtable, all of which is durable, to the flusher; with it the part of the log
    /// that the tables hold already and that is too long to be kept for those who read changes.
    fn freeze(&self, log: &mut Log, mut memory: MutexGuard<'_, Memory>) -> Result<(), Error> {
        let frozen = memory.freeze();
        let flushed = memory.flushed;
        drop(memory);
        let forgotten = log.forget_through(flushed, self.options.log_bytes_kept);
        log.rotate().inspect_err(|error| self.shared.stop(error.to_string()))?;
        if let Some((sender, _)) = &self.flusher {
            // The thread only ends when the sender is dropped, or stopped the store: then it is too late anyway.
            let _ = sender.send(Flush { frozen, forgotten });
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.flusher.take() {
            drop(sender);
            // A panic there has stopped the store already; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn usable(memory: MutexGuard<'_, Memory>) -> Result<MutexGuard<'_, Memory>, Error> {
    match &memory.stopped {
        Some(reason) => Err(Error::Stopped { reason: reason.clone() }),
        None => Ok(memory),
    }
}

/// The flusher's thread: one frozen memtable after the other.
fn flush_all(flushes: &mpsc::Receiver<Flush>, lsm: &Lsm, shared: &Shared) {
    while let Ok(Flush { frozen: next, forgotten }) = flushes.recv() {
        // A panic must stop the store too, or whoever waits for this flush would wait for ever.
        let flushed = panic::catch_unwind(AssertUnwindSafe(|| {
            forgotten.remove()?;
            next.flush(lsm, &take_down(&next, shared)?)?;
            shared.lock().thaw(&next);
            Ok::<_, Error>(())
        }));
        let failure = match flushed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("a panic in the middle of it".to_owned()),
        };
        if let Some(failure) = failure {
            shared.stop(format!("flushing to the tables failed: {failure}"));
            return;
        }
        shared.changed.notify_all();
    }
}

/// The records of all frozen keys, a few under each lock.
fn take_down(frozen: &Frozen, shared: &Shared) -> Result<Records, Error> {
    const KEYS_A_LOCK: usize = 256;
    let mut records = Records::default();
    while records.len() < frozen.keys.len() {
        let mut memory = usable(shared.lock())?;
        let end = frozen.keys.len().min(records.len() + KEYS_A_LOCK);
        if !memory.take_down(&frozen.keys[records.len()..end], &mut records) {
            // A key is being committed: what is not durable must not be in the tables before the log.
            drop(shared.changed.wait(memory).unwrap_or_else(PoisonError::into_inner));
        }
    }
    Ok(records)
}
