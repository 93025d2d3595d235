//! A store, its events, and those who follow it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Plain};

use millpond_core::Join;
use millpond_core::verify::verify;
use millpond_store::{Batch, Cursor, DataFolder, Error, Filter, Options, Outcome, Store};
use millpond_testkit::naive;
use shuttle::sync::{Condvar, Mutex};
use tempfile::TempDir;

pub(crate) const KEYS: u64 = 3;
pub(crate) const START: u64 = 1_760_000_000_000;
/// When the threads run.
pub(crate) const NOW: u64 = START + 1_000;

const DEFINITION: &str = r#"
name = "counted"
lateness = "10ms"
snapshot_every = 2
[key]
"e" = "k"
[view]
count = { count = "e" }
sum   = { sum = "n" }
last  = { list = "n", last = 3 }
"#;

/// A folder that no other has, in memory where that is possible.
pub(crate) struct World {
    dir: TempDir,
    folder: DataFolder,
}

impl World {
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let mut names = tempfile::Builder::new();
        names.prefix("millpond-schedules-");
        let dir = if memory.is_dir() { names.tempdir_in(memory) } else { names.tempdir() }.unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        Self { dir, folder }
    }

    /// A store so small that every few commits freeze and flush, and nothing stays cached.
    pub(crate) fn open(&self) -> Store {
        let options = Options {
            cache_bytes: 0,
            memtable_bytes: 1_200,
            block_cache_bytes: 1 << 20,
            log_bytes_kept: 0,
            duplicates_bytes_kept: 1_000,
            durable: false,
        };
        Store::open_or_create(&self.folder, Join::parse(DEFINITION).unwrap(), options).unwrap().0
    }

    /// The join's own folder.
    pub(crate) fn of_join(&self) -> PathBuf {
        self.dir.path().join("counted")
    }
}

pub(crate) fn key(number: u64) -> String {
    format!("k{}", number % KEYS)
}

pub(crate) fn event(number: u64) -> String {
    let at = START + number;
    format!(r#"{{"id":"e{number}","type":"e","timestamp":{at},"k":"{}","n":{number}}}"#, key(number))
}

/// Joins events by their numbers, in one commit.
pub(crate) fn ingest(store: &Store, numbers: &[u64], now: u64, again: bool) -> Result<Vec<(u64, Outcome)>, Error> {
    let events: Vec<String> = numbers.iter().copied().map(event).collect();
    let events: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    let outcomes = store.ingest(&Batch { events: &events, now, received_before: again, ..Batch::default() })?;
    Ok(outcomes.into_iter().map(|(index, outcome)| (numbers[index as usize], outcome)).collect())
}

/// What the writers were told, event by event: how often each was accepted.
#[derive(Default)]
pub(crate) struct Acknowledged(Plain<BTreeMap<u64, u64>>);

impl Acknowledged {
    /// Joins events, and takes down what was said of them.
    pub(crate) fn ingest(&self, store: &Store, numbers: &[u64]) -> Result<(), Error> {
        let outcomes = ingest(store, numbers, NOW, false)?;
        let mut known = self.0.lock().unwrap();
        for (number, outcome) in outcomes {
            match outcome {
                Outcome::Accepted => *known.entry(number).or_default() += 1,
                // Another commit has it, which was durable before; its writer may not know yet.
                Outcome::Duplicate => drop(known.entry(number).or_default()),
                other => panic!("event {number}: {other:?}"),
            }
        }
        Ok(())
    }

    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        self.0.lock().unwrap().keys().copied().collect()
    }

    /// Of a key: how often its events were accepted.
    pub(crate) fn accepted(&self, of: &str) -> u64 {
        self.0.lock().unwrap().iter().filter(|(number, _)| key(**number) == of).map(|(_, times)| times).sum()
    }

    pub(crate) fn each_was_accepted_once(&self) {
        let known = self.0.lock().unwrap();
        assert!(known.values().all(|times| *times == 1), "{known:?}");
    }
}

/// All documents are the naive folds of these events.
pub(crate) fn is_fold_of(store: &Store, numbers: &BTreeSet<u64>) {
    let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in numbers {
        events.entry(key(*number)).or_default().push(event(*number));
    }
    let naive: Vec<(String, String)> =
        events.into_iter().map(|(key, events)| (key.clone(), naive::document(store.join(), &key, &events))).collect();
    assert_eq!(store.documents("", None, usize::MAX).unwrap(), naive);
    assert_eq!(store.verify(|difference| panic!("{difference:?}"), |_| {}).unwrap().differences, 0);
}

/// What a reader has seen of the keys; nothing goes back.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Versions and documents.
    pub(crate) views: BTreeMap<String, (u64, String)>,
    /// Events in tails.
    pub(crate) events: BTreeSet<u64>,
}

impl Seen {
    /// A key: its view is the fold of its snapshot and its tail, of durable commits.
    pub(crate) fn key(&mut self, store: &Store, key: &str) -> Result<BTreeSet<u64>, Error> {
        let Some(found) = store.key_view(key)? else { return Ok(BTreeSet::new()) };
        assert_eq!(verify(store.join(), &found.view, &found.tail).unwrap(), []);
        self.view(store, key.to_owned(), found.view.version, found.view.state.document(store.join(), key));
        let ids = found.tail.iter().map(|row| row.position.id.trim_start_matches('e').parse().unwrap());
        let ids: BTreeSet<u64> = ids.collect();
        self.events.extend(&ids);
        Ok(ids)
    }

    /// All views.
    pub(crate) fn list(&mut self, store: &Store) -> Result<(), Error> {
        let page = store.views("", None, usize::MAX)?;
        assert!(page.windows(2).all(|pair| pair[0].key < pair[1].key));
        for view in page {
            self.view(store, view.key, view.version, view.document);
        }
        Ok(())
    }

    fn view(&mut self, store: &Store, key: String, version: u64, document: String) {
        assert!(version <= store.last_commit(), "{key} is seen at {version}, which is not durable");
        let (before, known) = self.views.entry(key).or_default();
        assert!(*before < version || (*before == version && *known == document), "{version} after {before}");
        (*before, *known) = (version, document);
    }
}

/// Commits as the store's listener is told of them.
#[derive(Default)]
pub(crate) struct Told {
    last: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Told {
    pub(crate) fn of(store: &Store) -> Arc<Self> {
        let told = Arc::new(Self::default());
        let listener = Arc::clone(&told);
        store.on_commit(move |commit| {
            let mut last = listener.last.lock().unwrap();
            assert!(last.0 < commit, "told of {commit} after {}", last.0);
            last.0 = commit;
            listener.changed.notify_all();
        });
        told
    }

    /// Nothing more is committed.
    pub(crate) fn end(&self) {
        self.last.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    pub(crate) fn last(&self) -> u64 {
        self.last.lock().unwrap().0
    }

    /// The last commit, once there is one after that, or the end.
    fn after(&self, commit: u64) -> (u64, bool) {
        let mut last = self.last.lock().unwrap();
        while last.0 <= commit && !last.1 {
            last = self.changed.wait(last).unwrap();
        }
        *last
    }
}

/// What a reader of changes knows: versions and documents, erased keys among them.
pub(crate) type Known = BTreeMap<String, (u64, Option<String>)>;

/// Follows all changes until the end: each is told once, versions of a key only grow, and all are
/// durable.
pub(crate) fn follow(store: &Store, told: &Told, known: &mut Known) -> Result<(), Error> {
    let (mut cursor, mut heard) = (Cursor::start(), 0);
    loop {
        let (last, ended) = told.after(heard);
        heard = last;
        assert!(store.last_commit() >= heard);
        loop {
            let page = store.changes(&cursor, &Filter::default(), 2)?;
            assert!(!page.reset);
            for change in page.changes {
                assert!(change.version <= store.last_commit(), "{} is told too early", change.version);
                let before = known.insert(change.key, (change.version, change.document));
                assert!(before.is_none_or(|(version, _)| version < change.version));
            }
            cursor = page.next;
            if !page.more {
                break;
            }
        }
        if ended {
            return Ok(());
        }
    }
}

/// Follows all changes, and ends with what is there.
pub(crate) fn follow_to_the_end(store: &Store, told: &Told) {
    let mut known = Known::new();
    follow(store, told, &mut known).unwrap();
    let known: Vec<_> = known.into_iter().filter_map(|(key, (_, document))| Some((key, document?))).collect();
    assert_eq!(known, store.documents("", None, usize::MAX).unwrap());
}
