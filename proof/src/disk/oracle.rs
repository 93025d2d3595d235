//! What the store must hold after a number of steps, by rules as plain as can be; documents are
//! folded by the testkit's naive fold.

use std::collections::{BTreeMap, BTreeSet};

use millpond_core::process::consumer::FUTURE_MS_MAX;
use millpond_core::{Join, Position};
use millpond_testkit::naive;
use serde_json::Value;

use super::script::{Step, clock, step};

const PLAIN: &str = r#"
name = "disk"
lateness = "1s"
snapshot_every = 4
[key]
visit = "k"
move = ["from", "to"]
[view]
visits = { count = "visit" }
moves = { count = "move" }
sum = { sum = "n" }
top = { max = "n" }
last = { list = "v", last = 3 }
kinds = { set = "v", max = 4 }
"#;
const LATENESS_MS: u64 = 1_000;

/// One of the two definitions that a rebuild changes between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edition {
    /// The first.
    #[default]
    Plain,
    /// With one field more.
    More,
}

impl Edition {
    /// The definition.
    #[must_use]
    pub fn join(self) -> Join {
        let text = match self {
            Self::Plain => PLAIN.to_owned(),
            Self::More => format!("{PLAIN}earliest = {{ first = \"v\" }}\n"),
        };
        Join::parse(&text).expect("the script's definitions are sound")
    }

    /// The one that is not this.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Plain => Self::More,
            Self::More => Self::Plain,
        }
    }
}

/// A row: when it was put, and the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    at: u64,
    body: Vec<u8>,
}

/// What is known of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// All that was ever accepted, trimmed or not.
    pub rows: BTreeMap<Position, Put>,
    through: Option<Position>,
    trimmed_to: Option<Position>,
}

/// Everything that a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Under which definition.
    pub edition: Edition,
    /// Keys that have a view.
    pub keys: BTreeMap<String, Key>,
    /// Waiting late events.
    pub late: BTreeMap<(String, Position), Put>,
    accepted_late: BTreeSet<(String, Position)>,
    /// What is in quarantine.
    pub quarantine: BTreeMap<Vec<u8>, u64>,
    erased: BTreeMap<String, u64>,
    erased_at: Option<u64>,
}

/// An event as a consumer sees it.
struct Read {
    at: Position,
    keys: Vec<String>,
}

/// Position and keys of an event; `None` if it is none, or names no key.
fn read(bytes: &[u8]) -> Option<Read> {
    let event: Value = serde_json::from_slice(bytes).ok()?;
    let at = Position::new(event["timestamp"].as_u64()?, event["id"].as_str()?);
    let names = if event["type"] == "visit" { vec!["k"] } else { vec!["from", "to"] };
    let mut keys = names.iter().map(|name| event[*name].as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
    keys.dedup();
    Some(Read { at, keys })
}

impl State {
    /// What a step does.
    pub fn apply(&mut self, step: &Step, now: u64) {
        match step {
            Step::Ingest(events) => events.iter().for_each(|event| self.ingest(event, now)),
            Step::Upkeep => {
                self.keys.values_mut().for_each(|key| key.close(now));
                self.keys.values_mut().for_each(|key| key.trimmed_to = key.through.clone());
            }
            Step::Snapshot(keys) => {
                for key in keys {
                    self.keys.entry((*key).to_owned()).and_modify(|key| key.close(now));
                }
            }
            Step::Erase(key) => self.erase(key, now),
            Step::AcceptLate(key, at) => {
                let place = (key.clone(), at.clone());
                let Some(put) = self.late.remove(&place) else { return };
                self.keys.entry(key.clone()).or_default().rows.insert(at.clone(), put);
                self.accepted_late.insert(place);
            }
            Step::DropLate(key, at) => drop(self.late.remove(&(key.clone(), at.clone()))),
            Step::DropQuarantined(bytes) => drop(self.quarantine.remove(bytes)),
            Step::Rebuild(edition) => self.rebuild(*edition),
            Step::Flush | Step::Reopen | Step::Drop => {}
        }
    }

    fn ingest(&mut self, bytes: &[u8], now: u64) {
        let now = self.erased_at.map_or(now, |erased_at| now.max(erased_at + 1));
        let Some(Read { at, keys }) = read(bytes).filter(|read| read.at.timestamp <= now + FUTURE_MS_MAX) else {
            self.quarantine.entry(bytes.to_vec()).or_insert(now);
            return;
        };
        for key in keys {
            let known = self.keys.get(&key);
            let place = (key, at.clone());
            let stored = known.and_then(|known| known.stored(&at)).or_else(|| self.late.get(&place));
            if let Some(present) = stored {
                if present.body != bytes {
                    self.quarantine.entry(bytes.to_vec()).or_insert(now);
                }
                continue;
            }
            let put = Put { at: now, body: bytes.to_vec() };
            if known.is_some_and(|known| known.through.as_ref() >= Some(&at)) {
                if !self.accepted_late.contains(&place) {
                    self.late.insert(place, put);
                }
            } else {
                self.keys.entry(place.0).or_default().rows.insert(at.clone(), put);
            }
        }
    }

    fn erase(&mut self, key: &str, now: u64) {
        let joins = |bytes: &[u8]| read(bytes).is_some_and(|read| read.keys.iter().any(|of| of == key));
        let before = (self.keys.len(), self.late.len(), self.quarantine.len(), self.accepted_late.len());
        self.keys.remove(key);
        self.late.retain(|(of, _), _| of != key);
        self.accepted_late.retain(|(of, _)| of != key);
        self.quarantine.retain(|bytes, _| !joins(bytes));
        if before != (self.keys.len(), self.late.len(), self.quarantine.len(), self.accepted_late.len()) {
            self.erased.insert(key.to_owned(), now);
            self.erased_at = Some(now);
        }
    }

    /// Every stored event is joined anew, where its key was not erased since.
    fn rebuild(&mut self, edition: Edition) {
        let rows = self.keys.values().flat_map(|key| key.rows.values());
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        for put in rows.chain(self.late.values()) {
            let Read { at, keys: of } = read(&put.body).expect("what is stored was read before");
            for key in of {
                if self.erased.get(&key).is_none_or(|erased| put.at > *erased) {
                    keys.entry(key).or_default().rows.entry(at.clone()).or_insert_with(|| put.clone());
                }
            }
        }
        (self.edition, self.keys) = (edition, keys);
        self.late.clear();
        self.accepted_late.clear();
    }
}

impl Key {
    /// A row that was not trimmed.
    fn stored(&self, at: &Position) -> Option<&Put> {
        self.rows.get(at).filter(|_| self.trimmed_to.as_ref().is_none_or(|trimmed_to| at > trimmed_to))
    }

    /// Closes the rows whose time and whose coming are older than the lateness, up to the first
    /// that is not.
    fn close(&mut self, now: u64) {
        let boundary = now - LATENESS_MS;
        let open = self.rows.iter().filter(|(at, _)| self.through.as_ref().is_none_or(|through| *at > through));
        let settled = open.take_while(|(at, put)| at.timestamp < boundary && put.at < boundary).last();
        if let Some((last, _)) = settled {
            self.through = Some(last.clone());
        }
    }
}

/// What a reader of the store sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Keys and documents.
    pub documents: Vec<(String, String)>,
    /// The late queue: keys, positions and bodies.
    pub late: Vec<(String, Position, Vec<u8>)>,
    /// The bytes in quarantine.
    pub quarantine: BTreeSet<Vec<u8>>,
}

impl State {
    fn sight(&self) -> Sight {
        let join = self.edition.join();
        let document = |(key, known): (&String, &Key)| {
            let events: Vec<&[u8]> = known.rows.values().map(|put| put.body.as_slice()).collect();
            (key.clone(), naive::document(&join, key, &events))
        };
        let late = |((key, at), put): (&(String, Position), &Put)| (key.clone(), at.clone(), put.body.clone());
        Sight {
            documents: self.keys.iter().map(document).collect(),
            late: self.late.iter().map(late).collect(),
            quarantine: self.quarantine.keys().cloned().collect(),
        }
    }
}

/// A script and what is to be seen after each of its steps.
#[derive(Debug)]
pub struct Expected {
    /// The seed.
    pub seed: u64,
    /// The steps; the first is step 1.
    pub steps: Vec<Step>,
    /// After so many steps.
    pub after: Vec<Sight>,
}

impl Expected {
    /// Of the script of a seed.
    #[must_use]
    pub fn new(seed: u64, count: usize) -> Self {
        let mut state = State::default();
        let (mut steps, mut after) = (Vec::new(), vec![state.sight()]);
        for number in 1..=count {
            let next = step(seed, number, count, &state);
            state.apply(&next, clock(number));
            steps.push(next);
            after.push(state.sight());
        }
        Self { seed, steps, after }
    }
}
