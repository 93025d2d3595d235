//! Erasure removes a key from every place, down to the bytes on disk, and stays so.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use memchr::memmem;
use millpond_core::Join;
use millpond_store::log::{Log, LogOptions, Sync};
use millpond_store::{Batch, DataFolder, Options, Store};

const START: u64 = 1_760_000_000_000;
/// Names that occur nowhere else, and that no compression can take apart.
const KEY: &str = "person-qZ7xW2vK9";
const NAME: &str = "Xq3Vn8Rk5Tj1";
const JOIN: &str = r#"
name = "j"
lateness = "1s"
[key]
e = ["k", "also"]
[view]
n = { count = "e" }
name = { latest = "name", of = "e" }
"#;

fn join(extra: &str) -> Join {
    Join::parse(&format!("{JOIN}{extra}")).unwrap()
}

fn event(id: &str, at: u64, key: &str, also: &str) -> String {
    format!(r#"{{"id":"{id}","type":"e","timestamp":{at},"k":"{key}","also":"{also}","name":"{NAME}-{key}"}}"#)
}

fn ingest(store: &Store, now: u64, events: &[String]) {
    let events: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    store.ingest(&Batch { events: &events, now, ..Batch::default() }).unwrap();
}

/// Files below a folder that have these bytes.
fn files_with(dir: &Path, bytes: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if memmem::find(&fs::read(&path).unwrap(), bytes.as_bytes()).is_some() {
            found.push(path.display().to_string());
        }
    }
    found
}

/// A store with the key in every table, in the log and in the tables.
fn filled(folder: &DataFolder) -> Store {
    let (store, _) = Store::open_or_create(folder, join(""), Options::default()).unwrap();
    let others: Vec<String> =
        (0..200).map(|n| event(&format!("o{n}"), START + n, &format!("other-{}", n % 20), "x")).collect();
    ingest(&store, START, &others);
    ingest(&store, START, &[event("1", START, KEY, "friend"), event("2", START + 1, KEY, "x")]);
    store.flush().unwrap();
    store.snapshot(&[KEY], START + 9_000).unwrap();
    store.trim(&[KEY]).unwrap();
    ingest(&store, START + 9_000, &[event("0", START, KEY, "x"), event("3", START + 9_000, KEY, "x")]);
    ingest(&store, START + 9_000, &[event("future", START + 9_000_000, KEY, "x"), format!("not json of {KEY}")]);
    store
}

#[test]
fn everything_of_the_key_goes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = filled(&folder);
    assert!(!files_with(dir.path(), KEY).is_empty() && !files_with(dir.path(), &format!("{NAME}-{KEY}")).is_empty());
    let before = store.documents("other", None, 100).unwrap();

    let mentions = store.quarantine_page(None, 10).unwrap();
    let unreadable = mentions.iter().find(|entry| entry.quarantined.bytes.starts_with(b"not json")).unwrap();
    let erased = store.erase(KEY, START + 9_000).unwrap().unwrap();
    assert!(erased.view && erased.snapshot && erased.compacted, "{erased:?}");
    assert_eq!((erased.events, erased.late, erased.quarantined), (1, 1, 1), "two of three rows were trimmed");
    assert_eq!(erased.quarantine_mentions, std::slice::from_ref(&unreadable.id));
    assert_eq!(erased.also_at, ["x"]);

    assert_eq!(store.document(KEY).unwrap(), None);
    assert!(store.rows(KEY).unwrap().is_empty() && store.late_page(Some(KEY), None, 9).unwrap().is_empty());
    assert_eq!(store.documents("other", None, 100).unwrap(), before);
    assert_eq!(store.erase(KEY, START).unwrap(), None, "there is nothing left");
    // What other keys hold of the same events is theirs, and the unreadable entry is a person's to judge.
    assert!(store.drop_quarantined(&unreadable.id).unwrap());
    for other in ["friend", "x"] {
        store.erase(other, START + 9_000).unwrap();
    }
    assert_eq!(files_with(dir.path(), KEY), Vec::<String>::new());
    assert_eq!(store.verify(|found| panic!("{found:?}"), |_| {}).unwrap().keys, 20);
}

#[test]
fn an_erased_key_can_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = filled(&folder);
    store.erase(KEY, START + 9_000).unwrap().unwrap();
    ingest(&store, START + 9_500, &[event("new", START + 9_500, KEY, "x")]);
    let expected = format!(r#"{{"id":"{KEY}","n":1,"name":"{NAME}-{KEY}"}}"#);
    assert_eq!(store.document(KEY).unwrap().unwrap(), expected);
    drop(store);
    let (store, _) = Store::open_or_create(&folder, join(""), Options::default()).unwrap();
    assert_eq!(store.document(KEY).unwrap().unwrap(), expected);
    assert_eq!(store.verify(|found| panic!("{found:?}"), |_| {}).unwrap().differences, 0);
}

/// The commit after `last`, which erases the key at 9.
fn append_erasure(dir: PathBuf, last: u64) {
    let (mut log, _) = Log::open(LogOptions { dir, sync: Sync::Every }, last, |_| Ok(())).unwrap();
    let mut frame = Vec::new();
    let start = Log::begin_frame(&mut frame);
    frame.extend_from_slice(&[4, KEY.len() as u8]);
    frame.extend_from_slice(KEY.as_bytes());
    frame.push(9);
    Log::seal_frame(&mut frame, start, last + 1).unwrap();
    log.append(&frame).unwrap();
}

/// The process was killed after the log said that the key goes, and before the tables did it.
#[test]
fn an_erasure_that_was_broken_off_is_ended_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = filled(&folder);
    store.close().unwrap();
    let last = {
        let (store, _) = Store::open(&folder, "j", Options::default()).unwrap();
        store.last_commit()
    };
    append_erasure(dir.path().join("j/log"), last);

    let (store, _) = Store::open(&folder, "j", Options::default()).unwrap();
    assert_eq!(store.document(KEY).unwrap(), None);
    assert_eq!(store.last_commit(), last + 1);
    store.erase("friend", START).unwrap();
    store.erase("x", START).unwrap();
    assert!(files_with(&dir.path().join("j/log"), KEY).is_empty());
    assert_eq!(store.verify(|found| panic!("{found:?}"), |_| {}).unwrap().differences, 0);
}

/// A rebuild reads the rows of every key: those of a friend must not bring an erased person back.
#[test]
fn a_rebuild_does_not_bring_an_erased_key_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let (store, _) = Store::open_or_create(&folder, join(""), Options::default()).unwrap();
    ingest(&store, START, &[event("1", START, KEY, "friend")]);
    store.erase(KEY, START).unwrap().unwrap();
    ingest(&store, START + 1, &[event("2", START + 1, KEY, "friend")]);
    let version = store.view(KEY).unwrap().unwrap().version;
    let (store, _) = store.rebuild(&folder, join("m = { count = \"e\" }\n"), false, |_| {}).unwrap();
    assert_eq!(store.document(KEY).unwrap().unwrap(), format!(r#"{{"id":"{KEY}","n":1,"name":"{NAME}-{KEY}","m":1}}"#));
    assert!(store.document("friend").unwrap().unwrap().contains("\"n\":2"));
    assert!(store.view(KEY).unwrap().unwrap().version > version, "a version never means two documents");
    let (again, _) = store.rebuild(&folder, join("o = { count = \"e\" }\n"), false, |_| {}).unwrap();
    assert!(again.document(KEY).unwrap().unwrap().contains("\"n\":1"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// A store with two events of the key in its tables, and none that another key shares.
fn alone(folder: &DataFolder) -> Store {
    let (store, _) = Store::open_or_create(folder, join(""), Options::default()).unwrap();
    let others: Vec<String> = (0..200).map(|n| event(&format!("o{n}"), START, "other", "other")).collect();
    ingest(&store, START, &others);
    ingest(&store, START, &[event("1", START, KEY, KEY), event("2", START + 1, KEY, KEY), "not json".to_owned()]);
    store.flush().unwrap();
    store
}

#[test]
fn one_erasure_leaves_no_bytes_while_the_store_runs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = alone(&folder);
    assert!(store.erase(KEY, START + 9_000).unwrap().unwrap().compacted);
    assert_eq!(files_with(dir.path(), KEY), Vec::<String>::new());
}

/// Runs `work` while somebody reads old tables, until `work` has moved the store's last commit.
fn beside_a_reader<R: Send>(store: &Store, work: impl FnOnce() -> R + Send) -> R {
    let last = store.last_commit();
    let (reading, is_reading) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let read = store.each_quarantined(|_| {
                reading.send(()).unwrap();
                while store.last_commit() <= last + 1 {
                    std::thread::yield_now();
                }
                Ok::<_, millpond_store::Error>(())
            });
            read.unwrap();
        });
        is_reading.recv().unwrap();
        work()
    })
}

/// The reader's sight is older than the last event of the key, and is given back in time.
#[test]
fn readers_of_old_tables_do_not_keep_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let store = alone(&folder);
    let erased = beside_a_reader(&store, || {
        ingest(&store, START + 5, &[event("3", START + 5, KEY, KEY)]);
        store.erase(KEY, START + 10).unwrap().unwrap()
    });
    assert!(erased.compacted);
    assert_eq!(files_with(dir.path(), KEY), Vec::<String>::new());
}

/// Killed when the tables had forgotten the key, and the log had not: its end is as the erasure left
/// the tables, with the log from before.
#[test]
fn a_log_that_was_not_emptied_is_emptied_at_the_next_opening() {
    let (dir, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    alone(&folder).close().unwrap();
    let log_dir = dir.path().join("j/log");
    copy(&log_dir, before.path());
    let (store, _) = Store::open(&folder, "j", Options::default()).unwrap();
    let last = store.last_commit();
    store.erase(KEY, 9).unwrap().unwrap();
    drop(store);
    fs::remove_dir_all(&log_dir).unwrap();
    copy(before.path(), &log_dir);
    append_erasure(log_dir.clone(), last);

    assert_ne!(files_with(&log_dir, KEY), Vec::<String>::new());
    let (store, _) = Store::open(&folder, "j", Options::default()).unwrap();
    assert_eq!(files_with(&log_dir, KEY), Vec::<String>::new());
    assert_eq!(store.document(KEY).unwrap(), None);
    ingest(&store, START + 20, &[event("n", START + 20, "other", "other")]);
    drop(store);
    let (store, _) = Store::open(&folder, "j", Options::default()).unwrap();
    assert!(store.document("other").unwrap().unwrap().contains("\"n\":201"));
}

#[test]
fn a_key_that_is_written_with_escapes_is_found_in_quarantine() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let (store, _) = Store::open_or_create(&folder, join(""), Options::default()).unwrap();
    let (future, name) = (START + 9_000_000, "per:sön/😀");
    let escaped = r"per\u003as\u00f6n\/\ud83d\ude00";
    ingest(&store, START, &[event("1", START, name, name), event("f", future, escaped, escaped)]);
    ingest(&store, START, &[format!("{{ cut off: {escaped}")]);
    let erased = store.erase(name, START + 1).unwrap().unwrap();
    assert_eq!((erased.quarantined, erased.quarantine_mentions.len()), (1, 1), "{erased:?}");
}

/// The clock is read before the writer's turn comes, and may be set back: what is accepted after an
/// erasure is no part of it.
#[test]
fn a_rebuild_keeps_what_came_after_an_erasure_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let (store, _) = Store::open_or_create(&folder, join(""), Options::default()).unwrap();
    ingest(&store, START, &[event("1", START, KEY, "friend")]);
    store.erase(KEY, START - 500).unwrap().unwrap();
    drop(store);
    let (store, _) = Store::open_or_create(&folder, join(""), Options::default()).unwrap();
    ingest(&store, START - 700, &[event("2", START - 800, KEY, "friend")]);
    let (store, _) = store.rebuild(&folder, join("m = { count = \"e\" }\n"), false, |_| {}).unwrap();
    let view = |key: &str| store.document(key).unwrap().unwrap();
    assert!(view(KEY).contains("\"n\":1"), "{}", view(KEY));
    assert!(view("friend").contains("\"n\":2"), "{}", view("friend"));
}
