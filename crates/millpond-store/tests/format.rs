//! The stored format: a folder that format 1 wrote must open for ever, and give what it gave then.

use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use millpond_core::{Join, Position};
use millpond_store::{Accepted, Batch, DataFolder, Error, Options, Outcome, Retried, Store, Verified};

const HOUR: u64 = 3_600_000;
const START: u64 = 1_760_000_000_000;
/// Where the clock stands when the last events come.
const END: u64 = START + 30 * HOUR;

const DEFINITION: &str = r#"
name = "kept"
lateness = "1h"
[key]
"a" = "k"
"b" = ["k", "other.k"]
[view]
latest = { latest = "v", default = "-" }
first  = { first = "v" }
count  = { count = ["a", "b"] }
sum    = { sum = "n" }
avg    = { avg = "n", of = "a" }
min    = { min = "n" }
max    = { max = "timestamp" }
list   = { list = "v", last = 3 }
set    = { set = "v", max = 2 }
seen   = { exists = "b", where = "event.n > 2" }
"#;

/// What the kept folder's views are.
const DOCUMENTS: [&str; 2] = [
    r#"{"id":"k1","latest":"v6","first":"v0","count":8,"sum":21.25,"avg":2.2857142857142857142857142857,"min":0,"max":1760108000000,"list":["v4","v5","v6"],"set":["v0","v1"],"seen":true,"_more":["set"]}"#,
    r#"{"id":"k2","latest":"v5","first":"v5","count":1,"sum":5.25,"avg":null,"min":5.25,"max":1760018000000,"list":["v5"],"set":["v5"],"seen":true}"#,
];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1.tar.gz")
}

fn event(kind: &str, number: u64, at: u64) -> String {
    let other = if kind == "b" { r#","other":{"k":"k2"}"# } else { "" };
    let fraction = if number == 5 { ".25" } else { "" };
    format!(
        r#"{{"id":"e{number}","type":"{kind}","timestamp":{at},"k":"k1","v":"v{number}","n":{number}{fraction}{other}}}"#
    )
}

fn ingest(store: &Store, events: &[String], now: u64) -> Vec<Outcome> {
    let events: Vec<&[u8]> = events.iter().map(String::as_bytes).collect();
    let done = store.ingest(&Batch { events: &events, now, ..Batch::default() }).expect("a healthy disk");
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// A folder with everything in it: rows and views in the tables and in the log's tail, snapshots, a
/// trim, late events (one waiting, one accepted) and quarantine.
fn write(dir: &Path) {
    let folder = DataFolder::open_or_create(dir).expect("a new folder");
    let join = Join::parse(DEFINITION).expect("the definition is right");
    let (store, _) = Store::open_or_create(&folder, join, Options::default()).expect("a new join");
    let early: Vec<String> = (0..5).map(|n| event("a", n, START + n * HOUR)).collect();
    assert_eq!(ingest(&store, &early, START + 5 * HOUR), [Outcome::Accepted; 5]);
    assert!(store.snapshot(&["k1"], START + 20 * HOUR).expect("a healthy disk")[0].closed);
    assert_eq!(store.trim(&["k1"]).expect("a healthy disk"), [5]);
    store.flush().expect("a healthy disk");
    let late = [event("a", 10, START + HOUR), event("a", 0, START + 1)];
    assert_eq!(ingest(&store, &late, END), [Outcome::Late; 2]);
    let accepted = store.accept_late("k1", &Position::new(START + 1, "e0"), END).expect("a healthy disk");
    assert_eq!(accepted, Accepted::Folded);
    let recent = [event("b", 5, START + 5 * HOUR), event("a", 6, END), "poison".into(), event("c", 9, END)];
    let outcomes = ingest(&store, &recent, END);
    assert_eq!(outcomes[..3], [Outcome::Accepted; 3]);
    assert!(matches!(outcomes[3..], [Outcome::Quarantined(_), Outcome::Ignored]));
}

/// Makes the fixture anew, after a change that raises the format's number:
/// `MILLPOND_WRITE_FIXTURE=1 cargo test -p millpond-store --test format`.
fn write_fixture() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(dir.path());
    let file = File::create(fixture()).expect("the fixtures' folder");
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::best()));
    archive.append_dir_all(".", dir.path()).expect("readable");
    archive.into_inner().and_then(GzEncoder::finish).expect("writable");
}

fn check(store: &Store) {
    let documents = store.documents("", None, 10).expect("readable");
    assert_eq!(documents.iter().map(|(_, document)| document.as_str()).collect::<Vec<_>>(), DOCUMENTS);
    let view = store.key_view("k1").expect("readable").expect("a view");
    assert_eq!((view.view.events, view.tail.len()), (8, 2));
    assert_eq!(view.view.trimmed_to.as_ref(), view.view.through());
    let mut late = Vec::new();
    let each = store.each_late(None, |entry| {
        late.push(entry.event.row.position.to_string());
        Ok::<(), Error>(())
    });
    each.expect("readable");
    assert_eq!(late, [format!("{}/e10", START + HOUR)]);
    let verified = store.verify(|difference| panic!("{difference:?}"), |_| {}).expect("readable");
    assert_eq!(verified, Verified { keys: 2, rows: 3, differences: 0 });
    let counters = store.counters();
    assert_eq!((counters.received, counters.accepted, counters.late, counters.keys), (12, 9, 1, 2));
}

#[test]
fn a_folder_of_format_1_opens_and_gives_what_it_gave() {
    if std::env::var_os("MILLPOND_WRITE_FIXTURE").is_some() {
        write_fixture();
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = File::open(fixture()).expect("the fixture is part of the repository");
    tar::Archive::new(GzDecoder::new(file)).unpack(dir.path()).expect("a whole archive");
    let folder = DataFolder::open(dir.path()).expect("the folder");
    let (store, opened) = Store::open(&folder, "kept", Options::default()).expect("format 1");
    assert!(opened.commits_replayed > 0 && opened.torn.is_none(), "{opened:?}");
    check(&store);
    // It can be written on: what came before is known, and the accepted late event stays accepted.
    let known = [event("a", 6, END), event("a", 0, START + 1)];
    assert_eq!(ingest(&store, &known, END), [Outcome::Duplicate; 2]);
    let mut id = None;
    let each = store.each_quarantined(|entry| {
        id = Some(entry.id);
        Ok::<(), Error>(())
    });
    each.expect("readable");
    let retried = store.retry_quarantined(&id.expect("an entry"), END).expect("a healthy disk");
    assert!(matches!(retried, Retried::Stays(Outcome::Quarantined(_))));
}

#[test]
fn this_version_writes_what_the_fixture_holds() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(dir.path());
    let folder = DataFolder::open(dir.path()).expect("the folder");
    let (store, opened) = Store::open(&folder, "kept", Options::default()).expect("what was written");
    assert!(opened.commits_replayed > 0);
    check(&store);
}

/// A flipped bit in a stored definition renamed a field of every view, and nothing said so.
#[test]
fn a_definition_that_is_not_as_it_was_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    for (name, end) in [("with-end", "\n"), ("without-end", "")] {
        let text =
            format!("name = \"{name}\"\nlateness = \"1h\"\n[key]\ne = \"k\"\n[view]\nsum = {{ sum = \"n\" }}{end}");
        let join = Join::parse(&text).unwrap();
        drop(Store::open_or_create(&folder, join, Options::default()).unwrap());
        let (store, _) = Store::open(&folder, name, Options::default()).unwrap();
        assert_eq!(store.join().source_text(), text);
        drop(store);
        for file in ["definition.toml", "MANIFEST"] {
            let path = dir.path().join(name).join(file);
            let whole = std::fs::read_to_string(&path).unwrap();
            let flipped = if file == "MANIFEST" {
                whole.replacen("history ", "history f", 1)
            } else {
                whole.replacen("sum =", "suo =", 1)
            };
            std::fs::write(&path, flipped).unwrap();
            let refused = Store::open(&folder, name, Options::default()).err().unwrap().to_string();
            assert!(refused.contains("checksum is wrong") && refused.contains(file), "{refused}");
            std::fs::write(&path, whole).unwrap();
        }
    }
}
