//! Whoever follows changes ends with what is there: whatever is flushed, snapshotted, erased or
//! reopened meanwhile, however small its pages, and however often it has to begin again.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use millpond_core::Join;
use millpond_store::{Batch, ChangePage, Cursor, DataFolder, Filter, Options, Store};
use proptest::prelude::*;

const START: u64 = 1_760_000_000_000;
const JOIN: &str = r#"
name = "j"
lateness = "1s"
snapshot_every = 2
[key]
e = "k"
[view]
n = { count = "e" }
"#;

fn options() -> Options {
    Options { memtable_bytes: 4_000, log_bytes_kept: 2_000, durable: false, ..Options::default() }
}

fn open(folder: &DataFolder) -> Store {
    Store::open_or_create(folder, Join::parse(JOIN).unwrap(), options()).unwrap().0
}

#[derive(Clone, Debug)]
enum Action {
    /// Events of these keys, in one commit.
    Ingest(Vec<u8>),
    Upkeep,
    Erase(u8),
    Flush,
    /// The process ends, orderly or not, and begins again.
    Reopen {
        orderly: bool,
    },
    /// The reader reads a page.
    Read(usize),
    /// The reader's connection breaks: it goes on from the text of the last change it was told.
    Reconnect,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => proptest::collection::vec(0u8..12, 1..9).prop_map(Action::Ingest),
        1 => Just(Action::Upkeep),
        1 => (0u8..12).prop_map(Action::Erase),
        1 => Just(Action::Flush),
        1 => any::<bool>().prop_map(|orderly| Action::Reopen { orderly }),
        6 => (1usize..6).prop_map(Action::Read),
        2 => Just(Action::Reconnect),
    ]
}

/// A client: what it knows, and the last place it was told.
struct Reader {
    cursor: Cursor,
    told: String,
    known: BTreeMap<String, String>,
    versions: BTreeMap<String, u64>,
    /// Keys that were erased since their last change was told.
    erased: BTreeSet<String>,
    filter: Filter,
}

impl Reader {
    fn new(filter: Filter) -> Self {
        let cursor = Cursor::start();
        Self {
            told: cursor.to_string(),
            cursor,
            known: BTreeMap::new(),
            versions: BTreeMap::new(),
            erased: BTreeSet::new(),
            filter,
        }
    }

    fn read(&mut self, store: &Store, limit: usize) -> bool {
        let ChangePage { reset, changes, next, more } = store.changes(&self.cursor, &self.filter, limit).unwrap();
        if reset {
            self.known.clear();
            self.versions.clear();
            self.told = next.to_string(); // the event that says so has an id, too
        }
        for change in changes {
            let before = self.versions.insert(change.key.clone(), change.version);
            assert!(
                before.is_none_or(|before| before < change.version),
                "{} again or back: {before:?}, {change:?}",
                change.key
            );
            match change.document {
                Some(document) => {
                    let erased = self.erased.remove(&change.key);
                    let before = self.known.insert(change.key, document.clone());
                    assert!(erased || before != Some(document), "a snapshot or a trim is no change");
                }
                None => {
                    self.known.remove(&change.key);
                }
            }
            self.told = change.cursor.to_string();
        }
        self.cursor = next;
        more
    }

    fn read_all(&mut self, store: &Store) {
        for _ in 0..1_000 {
            if !self.read(store, 3) {
                return;
            }
        }
        panic!("it never comes to the end: {}", self.cursor);
    }
}

fn documents(store: &Store, prefix: &str) -> BTreeMap<String, String> {
    store.documents(prefix, None, 1_000).unwrap().into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_ends_with_what_is_there(actions in proptest::collection::vec(action(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(dir.path()).unwrap();
        let mut store = open(&folder);
        let mut readers = [
            Reader::new(Filter::default()),
            Reader::new(Filter { prefix: "k1".into(), key: None }),
            Reader::new(Filter { prefix: String::new(), key: Some("k3".into()) }),
        ];
        let mut now = START;
        for action in actions {
            now += 700;
            match action {
                Action::Ingest(keys) => {
                    let events: Vec<String> = keys.iter().enumerate().map(|(n, key)| {
                        format!(r#"{{"id":"e{n}","type":"e","timestamp":{now},"k":"k{key}"}}"#)
                    }).collect();
                    let events: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
                    store.ingest(&Batch { events: &events, now, ..Batch::default() }).unwrap();
                }
                Action::Upkeep => {
                    let before = store.views("", None, 1_000).unwrap();
                    store.maintain(now).unwrap();
                    prop_assert_eq!(store.views("", None, 1_000).unwrap(), before, "to a reader nothing happened");
                }
                Action::Erase(key) => {
                    let key = format!("k{key}");
                    let there = store.document(&key).unwrap().is_some();
                    prop_assert_eq!(store.erase(&key, now).unwrap().is_some(), there);
                    prop_assert_eq!(store.document(&key).unwrap(), None);
                    for reader in &mut readers {
                        reader.erased.insert(key.clone());
                    }
                }
                Action::Flush => store.flush().unwrap(),
                Action::Reopen { orderly } => {
                    if orderly { store.close().unwrap() } else { drop(store) }
                    store = open(&folder);
                    // A cursor in memory does not outlive its server.
                    for reader in &mut readers {
                        reader.cursor = reader.told.parse().unwrap();
                    }
                }
                Action::Read(limit) => {
                    for reader in &mut readers {
                        reader.read(&store, limit);
                    }
                }
                Action::Reconnect => {
                    for reader in &mut readers {
                        reader.cursor = reader.told.parse().unwrap();
                    }
                }
            }
        }
        for reader in &mut readers {
            reader.read_all(&store);
        }
        let all = documents(&store, "");
        prop_assert_eq!(&readers[0].known, &all);
        prop_assert_eq!(&readers[1].known, &documents(&store, "k1"));
        let third: BTreeMap<_, _> = all.into_iter().filter(|(key, _)| key == "k3").collect();
        prop_assert_eq!(&readers[2].known, &third);
    }
}

fn event(id: &str, key: &str) -> String {
    format!(r#"{{"id":"{id}","type":"e","timestamp":{START},"k":"{key}"}}"#)
}

fn ingest(store: &Store, events: &[String]) {
    let events: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    store.ingest(&Batch { events: &events, now: START, ..Batch::default() }).unwrap();
}

/// A reader that is behind is not moved over a change because of one that a crash may take back.
#[test]
fn a_change_is_only_left_out_for_one_that_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let options = Options { durable: true, ..Options::default() };
    let store = Store::open_or_create(&folder, Join::parse(JOIN).unwrap(), options).unwrap().0;
    let begin = store.cursor_now();
    ingest(&store, &[event("1", "a")]);
    let pad = "x".repeat(200_000);
    let mut large: Vec<String> = (0..50)
        .map(|n| format!(r#"{{"id":"b{n}","type":"e","timestamp":{START},"k":"b{n}","pad":"{pad}"}}"#))
        .collect();
    large.push(event("2", "a"));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| ingest(&store, &large));
        while !writer.is_finished() {
            let told = store.changes(&begin, &Filter::default(), 1).unwrap().changes;
            let first = told.first().map(|change| (&*change.key, change.version));
            assert!(first == Some(("a", 1)) || store.last_commit() == 2, "{first:?} of commit 1 alone");
        }
    });
}

/// Numbers of commits begin anew with a join, and a definition may give other documents at once.
#[test]
fn a_place_in_another_history_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let told = |store: &Store, cursor: &Cursor| {
        let mut reader = Reader::new(Filter::default());
        reader.cursor = cursor.to_string().parse().unwrap();
        let reset = store.changes(&reader.cursor, &Filter::default(), 9).unwrap().reset;
        reader.read_all(store);
        (reset, reader.known.len())
    };
    let store = open(&folder);
    (0..5).for_each(|n| ingest(&store, &[event("1", &format!("old{n}"))]));
    let cursor = store.cursor_now();
    assert_eq!(told(&store, &cursor), (false, 0));
    store.close().unwrap();
    folder.remove_join("j").unwrap();
    let store = open(&folder);
    (0..8).for_each(|n| ingest(&store, &[event("1", &format!("new{n}"))]));
    assert_eq!(told(&store, &cursor), (true, 8));
    let cursor = store.cursor_now();
    store.close().unwrap();
    assert_eq!(told(&open(&folder), &cursor), (false, 0));
    let renamed = JOIN.replace("n = {", "number = {");
    let store = Store::open_or_create(&folder, Join::parse(&renamed).unwrap(), options()).unwrap().0;
    assert!(store.document("new1").unwrap().unwrap().contains("number") == (told(&store, &cursor) == (true, 8)));
}
