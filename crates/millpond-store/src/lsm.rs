//! The LSM tables behind the log. They are only ever fed by sorted bulk ingestion, in the
//! background, and hold what is older than the memtables.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{
    AbstractTree, CompressionType, Database, DatabaseBuilder, Keyspace, KeyspaceCreateOptions, PersistMode, Readable,
    Snapshot,
};
use millpond_core::{At, store::Row};

use crate::error::Error;
use crate::folder::sync_dir;
use crate::keys::{after_rows, parse_row_key, row_key, row_prefix};
use crate::lists;
use crate::op::{Table, text};
use crate::record::Record;
use crate::sync::{self, Arc, Mutex, MutexGuard, PoisonError, thread};

/// Rows of one key lie together and are read in ranges: larger blocks compress better.
const EVENT_BLOCK_BYTES: u32 = 16 * 1024;

/// How often to look whether old sights are gone.
const SIGHT_PAUSE: Duration = Duration::from_millis(5);

/// Runs of a table that may wait to be merged, before another is written. Fjall holds back its own
/// writers so, and ingestion not at all; its list of a level's runs is counted by one byte, so that
/// with 256 of them the tables could not be opened any more.
const RUNS_MAX: usize = 32;
/// How often to look whether there are fewer.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// When to merge them here: nobody else may have been asked to.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);

/// Where fjall has a folder for each table.
const KEYSPACES_DIR: &str = "keyspaces";

/// The one key of [`Table::Meta`] that is not written by ingestion; it says nothing.
const SWEPT: &[u8] = b"swept";

/// The tables of one join.
pub(crate) struct Lsm {
    path: PathBuf,
    database: Database,
    pub(crate) events: Keyspace,
    pub(crate) views: Keyspace,
    side: [Keyspace; Table::ALL.len()],
    /// Held by sights, each by those of its span of time: the last one by those that are taken now,
    /// the others for as long as one of theirs is in use.
    epochs: Mutex<Vec<Arc<()>>>,
}

/// An unchanging sight of all tables.
pub(crate) struct Sight {
    snapshot: Snapshot,
    _epoch: Arc<()>,
}

impl Lsm {
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, Error> {
        lists::check(&path.join(KEYSPACES_DIR))?;
        // One worker: with two, one keeps re-queuing compactions to itself.
        Self::over(path, Database::builder(path).worker_threads(1).cache_size(cache_bytes))
    }

    fn over(path: &Path, builder: DatabaseBuilder<Database>) -> Result<Self, Error> {
        let failed = |source| Error::Tables { path: path.to_owned(), source: Box::new(source) };
        let database = builder.open().map_err(failed)?;
        let lz4 = || CompressionPolicy::all(CompressionType::Lz4);
        let events = || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(lz4())
                .data_block_size_policy(BlockSizePolicy::all(EVENT_BLOCK_BYTES))
        };
        let plain = KeyspaceCreateOptions::default;
        let side = |table| database.keyspace(name(table), plain).map_err(failed);
        let lsm = Self {
            path: path.to_owned(),
            events: database.keyspace("events", events).map_err(failed)?,
            views: database.keyspace("views", plain).map_err(failed)?,
            side: [side(Table::Snapshots)?, side(Table::Late)?, side(Table::Quarantine)?, side(Table::Meta)?],
            database,
            epochs: Mutex::new(vec![Arc::default()]),
        };
        // Fjall syncs what is in a table's folder, and not the folder's name.
        sync_dir(&path.join(KEYSPACES_DIR))?;
        Ok(lsm)
    }

    pub(crate) fn side(&self, table: Table) -> &Keyspace {
        &self.side[table as usize]
    }

    pub(crate) fn failed(&self, source: fjall::Error) -> Error {
        Error::Tables { path: self.path.clone(), source: Box::new(source) }
    }

    fn damaged(&self, what: String) -> Error {
        Error::Damaged { file: self.path.clone(), offset: 0, what }
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.side(table).get(key).map_err(|error| self.failed(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    pub(crate) fn record(&self, key: &str) -> Result<Option<Record>, Error> {
        let value = self.views.get(key).map_err(|error| self.failed(error))?;
        value.map(|value| self.decode_record(key, &value)).transpose()
    }

    pub(crate) fn decode_record(&self, key: &str, value: &[u8]) -> Result<Record, Error> {
        Record::decode(value).map_err(|error| self.damaged(format!("view of key `{key}`: {error}")))
    }

    pub(crate) fn row(&self, key: &str, at: At<'_>) -> Result<Option<Row>, Error> {
        let value = self.events.get(row_key(key.as_bytes(), at)).map_err(|error| self.failed(error))?;
        value.map(|value| self.decode_row(key, at, &value)).transpose()
    }

    fn decode_row(&self, key: &str, at: At<'_>, value: &[u8]) -> Result<Row, Error> {
        let unreadable = || self.damaged(format!("row {at} of key `{key}` is unreadable"));
        let (put_at, body) = value.split_first_chunk::<8>().ok_or_else(unreadable)?;
        let (put_at, body) = (u64::from_le_bytes(*put_at), text(body).map_err(|_| unreadable())?);
        Ok(Row { position: at.to_position(), put_at, body: body.into() })
    }

    /// A row from its table's key and value.
    pub(crate) fn parse_row<'k>(&self, key: &'k [u8], value: &[u8]) -> Result<(&'k str, Row), Error> {
        let (of, position) = parse_row_key(key).ok_or_else(|| self.damaged("a row's key is unreadable".to_owned()))?;
        Ok((of, self.decode_row(of, position.at(), value)?))
    }

    pub(crate) fn sight(&self) -> Sight {
        let epoch = self.epochs().last().map(Arc::clone).expect("there is always the present one");
        Sight { snapshot: self.database.snapshot(), _epoch: epoch }
    }

    /// Writes all tables anew without what was deleted, so that its bytes are gone. Whether they
    /// are: not as long as an older sight is still in use after `patience`.
    pub(crate) fn compact(&self, patience: Duration) -> Result<bool, Error> {
        // Else what is deleted would be written again for those who may still see it.
        if !self.let_go(patience)? {
            return Ok(false);
        }
        for table in self.side.iter().chain([&self.events, &self.views]) {
            sync::disk();
            table.major_compact().map_err(|error| self.failed(error))?;
        }
        // The old files are still there, for those who began to read before the new ones were.
        self.let_go(patience)
    }

    /// Waits until nobody has a sight that was taken before, and has the tables let go of what only
    /// such a sight could show. Whether all were given back in time.
    fn let_go(&self, patience: Duration) -> Result<bool, Error> {
        self.sweep()?; // sights that are taken from now on do not hold it up
        self.epochs().push(Arc::default());
        let began = Instant::now();
        while !self.only_the_present() {
            if began.elapsed() >= patience {
                return Ok(false);
            }
            thread::sleep(SIGHT_PAUSE);
        }
        self.sweep()?;
        Ok(true)
    }

    /// Forgets the epochs of which no sight is left; whether that was all of those before.
    fn only_the_present(&self) -> bool {
        let mut epochs = self.epochs();
        let present = epochs.pop().expect("there is always the present one");
        epochs.retain(|epoch| Arc::strong_count(epoch) > 1);
        epochs.push(present);
        epochs.len() == 1
    }

    fn epochs(&self) -> MutexGuard<'_, Vec<Arc<()>>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has every table remove the files that no sight can see. Fjall does so when a memtable of its
    /// own is rotated, which otherwise never happens here.
    fn sweep(&self) -> Result<(), Error> {
        let meta = self.side(Table::Meta);
        let rotate = || {
            meta.insert(SWEPT, [])?;
            meta.insert(SWEPT, [])?; // what it lets go of must be older than the second
            meta.rotate_memtable()
        };
        // An ingestion may have taken the memtable in between.
        while !rotate().map_err(|error| self.failed(error))? {}
        Ok(())
    }

    /// Waits until a table has room for another run: before each ingestion.
    ///
    /// # Errors
    /// If merging failed in the background: fjall stops its own writers then, and ingestion not. What
    /// is on the disk is unknown, and must not be built upon.
    pub(crate) fn make_room(&self, table: &Keyspace) -> Result<(), fjall::Error> {
        self.database.persist(PersistMode::Buffer)?; // asks for nothing but that
        make_room_within(table, ROOM_PATIENCE)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        let side: u64 = self.side.iter().map(Keyspace::disk_space).sum();
        self.events.disk_space() + self.views.disk_space() + side
    }
}

impl Sight {
    pub(crate) fn get(&self, lsm: &Lsm, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.snapshot.get(lsm.side(table), key).map_err(|error| lsm.failed(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// The first rows of a key after a position, in order.
    pub(crate) fn rows(&self, lsm: &Lsm, key: &str, after: Option<At<'_>>, limit: usize) -> Result<Vec<Row>, Error> {
        let start = after.map_or_else(|| row_prefix(key), |after| row_key(key.as_bytes(), after));
        let mut rows = Vec::new();
        for item in self.snapshot.range(&lsm.events, start..after_rows(key)) {
            let (row_key, value) = item.into_inner().map_err(|error| lsm.failed(error))?;
            let (_, row) = lsm.parse_row(&row_key, &value)?;
            if rows.len() == limit {
                break;
            }
            if after.is_none_or(|after| row.position.at() > after) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The last rows of a key after one position and before another, the newest first. Reads no more of
    /// them than that.
    pub(crate) fn newest_rows(
        &self,
        lsm: &Lsm,
        key: &str,
        (after, before): (Option<At<'_>>, Option<At<'_>>),
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let start = after.map_or_else(|| row_prefix(key), |after| row_key(key.as_bytes(), after));
        let end = before.map_or_else(|| after_rows(key), |before| row_key(key.as_bytes(), before));
        let mut rows = Vec::new();
        if start >= end {
            return Ok(rows);
        }
        for item in self.snapshot.range(&lsm.events, start..end).rev().take(limit) {
            let (row_key, value) = item.into_inner().map_err(|error| lsm.failed(error))?;
            let (_, row) = lsm.parse_row(&row_key, &value)?;
            if after.is_some_and(|after| row.position.at() <= after) {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// Keys and values of a table from `start` on.
    pub(crate) fn scan<'s>(
        &'s self,
        lsm: &'s Lsm,
        table: &'s Keyspace,
        start: Vec<u8>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), Error>> + 's {
        self.snapshot.range(table, start..).map(|item| {
            let (key, value) = item.into_inner().map_err(|error| lsm.failed(error))?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }
}

fn make_room_within(table: &Keyspace, patience: Duration) -> Result<(), fjall::Error> {
    sync::disk();
    let began = Instant::now();
    while table.tree.l0_run_count() >= RUNS_MAX {
        if began.elapsed() >= patience {
            table.major_compact()?;
        } else {
            thread::sleep(ROOM_PAUSE);
        }
    }
    Ok(())
}

fn name(table: Table) -> &'static str {
    match table {
        Table::Snapshots => "snapshots",
        Table::Late => "late",
        Table::Quarantine => "quarantine",
        Table::Meta => "meta",
    }
}

/// A row's value in the table.
pub(crate) fn encode_row_value(out: &mut Vec<u8>, put_at: u64, body: &[u8]) {
    out.extend_from_slice(&put_at.to_le_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose disk was slow fed its tables faster than they were merged; after a kill, they could
    /// not be opened: `InvalidTag(("ChecksumType", 167))`.
    #[test]
    fn tables_that_are_fed_faster_than_they_are_merged_open_again() {
        const RUNS: u32 = 600;
        let dir = tempfile::tempdir().unwrap();
        // Nobody merges.
        let lsm = Lsm::over(dir.path(), Database::builder(dir.path()).worker_threads_unchecked(0)).unwrap();
        for run in 0..RUNS {
            make_room_within(&lsm.views, Duration::ZERO).unwrap();
            let mut ingestion = lsm.views.start_ingestion().unwrap();
            ingestion.write(format!("{run:03}"), []).unwrap();
            ingestion.write("same", run.to_le_bytes()).unwrap();
            ingestion.finish().unwrap();
        }
        drop(lsm);
        let lsm = Lsm::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(lsm.views.len().unwrap(), RUNS as usize + 1);
        assert_eq!(*lsm.views.get("same").unwrap().unwrap(), (RUNS - 1).to_le_bytes());
    }

    /// The oldest row of the key cannot be read: who asks for the newest must not notice.
    #[test]
    fn the_newest_rows_are_read_without_the_older_ones() {
        let dir = tempfile::tempdir().unwrap();
        let lsm = Lsm::open(dir.path(), 1 << 20).unwrap();
        let mut ingestion = lsm.events.start_ingestion().unwrap();
        for (key, timestamp) in [("a", 9), ("k", 0), ("k", 1), ("k", 2), ("k", 3), ("l", 0)] {
            let mut value = Vec::new();
            if (key, timestamp) != ("k", 0) {
                encode_row_value(&mut value, 7, b"{}");
            }
            ingestion.write(row_key(key.as_bytes(), At { timestamp, id: "e" }), value).unwrap();
        }
        ingestion.finish().unwrap();
        let sight = lsm.sight();
        let at = |timestamp| At { timestamp, id: "e" };
        let read = |after, before, limit| {
            let rows = sight.newest_rows(&lsm, "k", (after, before), limit)?;
            Ok::<_, Error>(rows.into_iter().map(|row| row.position.timestamp).collect::<Vec<_>>())
        };
        assert_eq!(read(None, None, 2).unwrap(), [3, 2]);
        assert_eq!(read(None, Some(at(3)), 2).unwrap(), [2, 1]);
        assert_eq!(read(Some(at(1)), None, 9).unwrap(), [3, 2]);
        assert_eq!(read(Some(at(1)), Some(at(1)), 9).unwrap(), [] as [u64; 0]);
        assert_eq!(read(Some(at(3)), Some(at(1)), 9).unwrap(), [] as [u64; 0]);
        assert!(read(None, None, 4).is_err(), "that one needs the oldest");
    }

    fn ingest_one(lsm: &Lsm) -> Result<(), fjall::Error> {
        lsm.make_room(&lsm.views)?;
        let mut ingestion = lsm.views.start_ingestion()?;
        ingestion.write("key", [])?;
        ingestion.finish()
    }

    /// Whether a merge in the background failed; `None` if it was an ingestion that met the obstacle.
    fn failed_in_the_background(lsm: &Lsm, folder: &Path) -> Option<bool> {
        for _ in 0..RUNS_MAX {
            // The next list of tables is that of the ingestion; the one after it is that of a merge.
            let current = std::fs::read(folder.join("current")).unwrap();
            let version = u64::from_le_bytes(*current.first_chunk().unwrap());
            let obstacle = folder.join(format!("v{}", version + 2));
            // A merge that was late may have made its list since.
            std::fs::create_dir(&obstacle).ok()?;
            ingest_one(lsm).ok()?;
            let began = Instant::now();
            while lsm.database.persist(PersistMode::Buffer).is_ok() && began.elapsed() < Duration::from_millis(300) {
                std::thread::yield_now();
            }
            std::fs::remove_dir(&obstacle).unwrap();
            if lsm.database.persist(PersistMode::Buffer).is_err() {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Fjall's thread that merges ended with an error of the disk, and ingestion went on over files
    /// of which nobody knew whether they were on the disk.
    #[test]
    fn what_failed_in_the_background_stops_ingestion() {
        const TRIES: usize = 20;
        let (failed, _dir, lsm) = (0..TRIES)
            .find_map(|_| {
                let dir = tempfile::tempdir().unwrap();
                let lsm = Lsm::open(dir.path(), 1 << 20).unwrap();
                let failed = failed_in_the_background(&lsm, &dir.path().join(KEYSPACES_DIR).join("2"))?;
                Some((failed, dir, lsm))
            })
            .expect("a merge is not always in between");
        assert!(failed, "nothing was merged");
        assert!(matches!(ingest_one(&lsm), Err(fjall::Error::Poisoned)));
    }
}
