//! The embedded engine is held to the drivers over the memory store: the same events, snapshots
//! and trims give the same outcomes, views, rows and bytes - also when it is flushed at every
//! step, or closed and opened again.

use std::collections::BTreeSet;

use millpond_core::store::Row;
use millpond_core::{Join, Position};
use millpond_store::{Batch, DataFolder, Error, Options, Outcome, Store};
use millpond_testkit::conformance::{Home, OutcomeKind, home_conforms};
use tempfile::TempDir;

/// Cases of each arrangement; the same at every run.
const CASES: u32 = 60;

/// What happens to the engine between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    /// Nothing: all rows stay in memory.
    Nothing,
    /// Everything is moved into the tables.
    Flush,
    /// The store is dropped, and opened from log and tables.
    Reopen,
    /// Each of these in turn.
    Mixed,
}

struct EmbeddedHome {
    store: Option<Store>,
    folder: DataFolder,
    name: String,
    between: Between,
    steps: u32,
    _dir: TempDir,
}

impl EmbeddedHome {
    fn new(join: &Join, between: Between) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = DataFolder::open_or_create(dir.path()).expect("an empty folder");
        let join = Join::parse(join.source_text()).expect("a join's text is right");
        let name = join.name().to_owned();
        let (store, _) = Store::open_or_create(&folder, join, options()).expect("a new join");
        Self { store: Some(store), folder, name, between, steps: 0, _dir: dir }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("there is a store between steps")
    }

    fn step(&mut self) {
        self.steps += 1;
        let now = match (self.between, self.steps % 3) {
            (Between::Mixed, 0) => Between::Flush,
            (Between::Mixed, 1) => Between::Reopen,
            (Between::Mixed, _) => Between::Nothing,
            (between, _) => between,
        };
        match now {
            Between::Flush => self.store().flush().expect("a healthy disk"),
            Between::Reopen => {
                drop(self.store.take());
                let (store, opened) = Store::open(&self.folder, &self.name, options()).expect("what was written");
                assert_eq!(opened.torn, None);
                self.store = Some(store);
            }
            Between::Nothing | Between::Mixed => {}
        }
    }
}

/// A cache of nothing: every key that can be evicted is, so that loading is exercised.
fn options() -> Options {
    Options { cache_bytes: 0, block_cache_bytes: 1 << 20, ..Options::default() }
}

impl Home for EmbeddedHome {
    fn ingest(&mut self, events: &[Vec<u8>], now: u64) -> Vec<Vec<OutcomeKind>> {
        let slices: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
        let done = self.store().ingest(&Batch { events: &slices, now, ..Batch::default() }).expect("a healthy disk");
        let mut outcomes = vec![Vec::new(); events.len()];
        for (index, outcome) in done {
            outcomes[index as usize].push(kind(outcome));
        }
        self.step();
        outcomes
    }

    fn document(&self, key: &str) -> Option<String> {
        self.store().document(key).expect("readable")
    }

    fn state_bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.store().view(key).expect("readable").map(|view| view.state.to_bytes())
    }

    fn events(&self, key: &str) -> u64 {
        self.store().view(key).expect("readable").map_or(0, |view| view.events)
    }

    fn snapshot_events(&self, key: &str) -> u64 {
        let view = self.store().key_view(key).expect("readable");
        view.and_then(|found| found.view.snapshot).map_or(0, |snapshot| snapshot.events)
    }

    fn through(&self, key: &str) -> Option<Position> {
        self.store().key_view(key).expect("readable").and_then(|found| found.view.through().cloned())
    }

    fn tail(&self, key: &str) -> Vec<Row> {
        self.store().key_view(key).expect("readable").map_or_else(Vec::new, |found| found.tail)
    }

    fn snapshot(&mut self, key: &str, now: u64) -> bool {
        let closed = self.store().snapshot(&[key], now).expect("a healthy disk")[0].closed;
        self.step();
        closed
    }

    fn trim(&mut self, key: &str) -> u64 {
        let trimmed = self.store().trim(&[key]).expect("a healthy disk")[0];
        self.step();
        trimmed
    }

    fn late(&self) -> Vec<(String, Position)> {
        let mut late = Vec::new();
        let each = self.store().each_late(None, |entry| {
            late.push((entry.key, entry.event.row.position));
            Ok::<(), Error>(())
        });
        each.expect("readable");
        late
    }

    fn quarantined(&self) -> BTreeSet<Vec<u8>> {
        let mut bytes = BTreeSet::new();
        let each = self.store().each_quarantined(|entry| {
            bytes.insert(entry.quarantined.bytes);
            Ok::<(), Error>(())
        });
        each.expect("readable");
        bytes
    }

    fn keys(&self) -> Vec<String> {
        self.store().keys("", None, usize::MAX).expect("readable")
    }

    fn verify(&self) -> usize {
        let found = self.store().verify(|difference| eprintln!("{difference:?}"), |_| {});
        assert_eq!(self.store().counters().divergence, 0);
        found.expect("readable").differences as usize
    }
}

fn kind(outcome: Outcome) -> OutcomeKind {
    match outcome {
        Outcome::Accepted => OutcomeKind::Accepted,
        Outcome::Duplicate => OutcomeKind::Duplicate,
        Outcome::Late => OutcomeKind::Late,
        Outcome::Quarantined(reason) => OutcomeKind::Quarantined(reason),
        Outcome::Ignored => OutcomeKind::Ignored,
    }
}

fn conforms(between: Between) {
    home_conforms(CASES, |join| EmbeddedHome::new(join, between));
}

#[test]
fn the_engine_does_what_the_drivers_do_in_memory() {
    conforms(Between::Nothing)
}

#[test]
fn the_engine_does_what_the_drivers_do_when_every_step_is_flushed() {
    conforms(Between::Flush)
}

#[test]
fn the_engine_does_what_the_drivers_do_when_it_is_reopened_after_every_step() {
    conforms(Between::Reopen)
}

#[test]
fn the_engine_does_what_the_drivers_do_between_flushes_and_reopenings() {
    conforms(Between::Mixed)
}
