//! A home: everything between events and documents, however it is built.

use std::collections::BTreeSet;

use millpond_core::memory::MemoryStore;
use millpond_core::process::consumer::{Boundary, Outcome, consume};
use millpond_core::process::{snapshot::snapshot, trigger::trigger, trim::trim};
use millpond_core::snapshot::Closing;
use millpond_core::store::{LateEvent, Quarantined, Row, Store};
use millpond_core::verify::verify;
use millpond_core::{Join, Position, Reason, View};
use pollster::block_on;

/// What became of an event for one of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// Stored and folded.
    Accepted,
    /// Known already.
    Duplicate,
    /// In the late queue.
    Late,
    /// In quarantine.
    Quarantined(Reason),
    /// Of a type that the join does not know.
    Ignored,
}

/// What a whole home does with one join. Two homes given the same calls must answer the same.
pub trait Home {
    /// Takes events in, and brings the views of their keys up to date. For each event, one
    /// outcome a key in the order of its keys, or one for the whole event.
    fn ingest(&mut self, events: &[Vec<u8>], now: u64) -> Vec<Vec<OutcomeKind>>;
    /// The document of a key; `None` if it never had an event.
    fn document(&self, key: &str) -> Option<String>;
    /// The canonical bytes of a key's state.
    fn state_bytes(&self, key: &str) -> Option<Vec<u8>>;
    /// Events in a key's view, those of the snapshot included; 0 without a view.
    fn events(&self, key: &str) -> u64;
    /// Events in a key's snapshot; 0 without one.
    fn snapshot_events(&self, key: &str) -> u64;
    /// The highest closed position of a key.
    fn through(&self, key: &str) -> Option<Position>;
    /// The rows after the snapshot, in order.
    fn tail(&self, key: &str) -> Vec<Row>;
    /// Closes what can be closed of a key; whether there was something.
    fn snapshot(&mut self, key: &str, now: u64) -> bool;
    /// Deletes the covered rows of a key; how many.
    fn trim(&mut self, key: &str) -> u64;
    /// The late queue, in the order of key and position.
    fn late(&self) -> Vec<(String, Position)>;
    /// What is in quarantine; a home may keep the same bytes once or each time they come.
    fn quarantined(&self) -> BTreeSet<Vec<u8>>;
    /// All keys with a view, in order.
    fn keys(&self) -> Vec<String>;
    /// Differences that verifying every key finds; 0 if all is well.
    fn verify(&self) -> usize;
}

/// A store that shows what it keeps.
pub trait Shown: Store {
    /// All keys with a view, in order.
    fn keys(&self) -> Vec<String>;
    /// The late queue, in the order of key and position.
    fn late(&self) -> Vec<LateEvent>;
    /// The quarantine, in any order.
    fn quarantined(&self) -> Vec<Quarantined>;
}

impl Shown for MemoryStore {
    fn keys(&self) -> Vec<String> {
        self.keys()
    }

    fn late(&self) -> Vec<LateEvent> {
        self.late()
    }

    fn quarantined(&self) -> Vec<Quarantined> {
        self.quarantined()
    }
}

/// A store and the drivers, one key a trigger, one event at a time.
pub struct StoreHome<S> {
    join: Join,
    store: S,
}

/// The reference home.
pub type MemoryHome = StoreHome<MemoryStore>;

impl MemoryHome {
    /// An empty home of a join with the same definition.
    #[must_use]
    pub fn new(join: &Join) -> Self {
        Self::over(join, MemoryStore::default())
    }
}

impl<S: Shown> StoreHome<S> {
    /// A home of a join with the same definition, over an empty store.
    ///
    /// # Panics
    /// Never: the definition was parsed before.
    #[must_use]
    pub fn over(join: &Join, store: S) -> Self {
        let join = Join::parse(join.source_text()).expect("a join's text is right");
        Self { join, store }
    }

    /// What it keeps its rows in.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    fn view(&self, key: &str) -> Option<View> {
        block_on(self.store.view(key)).expect("the store does not fail")
    }
}

impl<S: Shown> Home for StoreHome<S> {
    fn ingest(&mut self, events: &[Vec<u8>], now: u64) -> Vec<Vec<OutcomeKind>> {
        let one = |bytes: &Vec<u8>| {
            let outcomes = block_on(consume(&self.store, &self.join, bytes, now, Boundary::Snapshot));
            let outcomes = outcomes.expect("the store does not fail");
            for outcome in &outcomes {
                if let Outcome::Accepted { key, row } = outcome {
                    let row = std::slice::from_ref(row);
                    let done = block_on(trigger(&self.store, &self.join, key, row)).expect("nobody else writes");
                    assert!(done.written && done.breaches == 0, "an accepted row is open: {done:?}");
                }
            }
            outcomes.iter().map(kind).collect()
        };
        events.iter().map(one).collect()
    }

    fn document(&self, key: &str) -> Option<String> {
        self.view(key).map(|view| view.state.document(&self.join, key))
    }

    fn state_bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.view(key).map(|view| view.state.to_bytes())
    }

    fn events(&self, key: &str) -> u64 {
        self.view(key).map_or(0, |view| view.events)
    }

    fn snapshot_events(&self, key: &str) -> u64 {
        self.view(key).and_then(|view| view.snapshot).map_or(0, |snapshot| snapshot.events)
    }

    fn through(&self, key: &str) -> Option<Position> {
        self.view(key).and_then(|view| view.through().cloned())
    }

    fn tail(&self, key: &str) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let through = self.through(key);
        loop {
            let after = rows.last().map(|row| &row.position).or(through.as_ref());
            let page = block_on(self.store.rows(key, after, None)).expect("the store does not fail");
            rows.extend(page.rows);
            if !page.more {
                return rows;
            }
        }
    }

    fn snapshot(&mut self, key: &str, now: u64) -> bool {
        block_on(snapshot(&self.store, &self.join, key, now, Closing::Settled)).expect("nobody else writes").closed
    }

    fn trim(&mut self, key: &str) -> u64 {
        block_on(trim(&self.store, key)).expect("nobody else writes").deleted
    }

    fn late(&self) -> Vec<(String, Position)> {
        self.store.late().into_iter().map(|late| (late.key.into(), late.row.position)).collect()
    }

    fn quarantined(&self) -> BTreeSet<Vec<u8>> {
        self.store.quarantined().into_iter().map(|quarantined| quarantined.bytes).collect()
    }

    fn keys(&self) -> Vec<String> {
        self.store.keys()
    }

    fn verify(&self) -> usize {
        let differences = |key: &String| {
            let view = self.view(key).expect("the key has a view");
            verify(&self.join, &view, &self.tail(key)).expect("rows are events").len()
        };
        self.keys().iter().map(differences).sum()
    }
}

fn kind(outcome: &Outcome) -> OutcomeKind {
    match outcome {
        Outcome::Accepted { .. } => OutcomeKind::Accepted,
        Outcome::Duplicate => OutcomeKind::Duplicate,
        Outcome::Late => OutcomeKind::Late,
        Outcome::Quarantined(rejection) => OutcomeKind::Quarantined(rejection.reason),
        Outcome::Ignored => OutcomeKind::Ignored,
    }
}
