//! The embedded engine, as it is: clients that repeat themselves, upkeep, flushes, restarts,
//! rebuilds, erasures and readers in an order that a seed chooses. After each step what a reader
//! sees is the naive fold of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use millpond_core::verify::verify;
use millpond_core::{Event, Join, Position, Reason};
use millpond_store::{Accepted, Batch, Cursor, DataFolder, Filter, Options, Outcome, Store};
use millpond_testkit::naive;

use crate::events::{DEFINITION, EVENTS, Found, KEYS, MINUTE, REDEFINED, Sent, T, definition, examine, sent};
use crate::lives::Lived;
use crate::plan::{Fault, Plan};
use crate::scratch::scratch;
use crate::sim::Hub;

/// Memory so small that every few commits are flushed, and little stays cached.
fn options(chance: &mut Rng) -> Options {
    Options {
        cache_bytes: [0, 4_000, 1 << 20][chance.usize(..3)],
        memtable_bytes: [600, 3_000, 40_000][chance.usize(..3)],
        block_cache_bytes: 1 << 20,
        log_bytes_kept: [0, 2_000, 1 << 20][chance.usize(..3)],
        duplicates_bytes_kept: 1_000,
        durable: false,
    }
}

/// Lives a life.
#[must_use]
pub fn life(plan: &Plan) -> Lived {
    let hub = Hub::new(plan, T);
    if let Err(wrong) = lived(plan, &hub) {
        hub.wrong(|| format!("{wrong:#}"));
    }
    hub.lived(EVENTS)
}

fn lived(plan: &Plan, hub: &Hub) -> Result<()> {
    let dir = scratch()?;
    let folder = DataFolder::open_or_create(dir.path())?;
    let join = parsed(DEFINITION, plan);
    let options = options(&mut plan.chance(5));
    let (store, _) = Store::open_or_create(&folder, parsed(DEFINITION, plan), options.clone())?;
    let sent = sent(plan, |fault| hub.fired(fault));
    let expected = Expected::of(join);
    let follower = Follower { cursor: Cursor::start(), known: BTreeMap::new() };
    let mut life = Life { plan, hub, folder: &folder, options, store: Some(store), expected, follower, now: T };
    life.lives(&sent)?;
    life.ends(&sent)
}

fn parsed(text: &str, plan: &Plan) -> Join {
    Join::parse(&definition(text, plan)).expect("it is a definition")
}

/// What must be there.
struct Expected {
    join: Join,
    accepted: BTreeMap<String, Vec<String>>,
    /// What an operator has decided to do without: by key and text.
    given_up: BTreeSet<(String, String)>,
    was_erased: bool,
    was_rebuilt: bool,
}

impl Expected {
    fn of(join: Join) -> Self {
        Self { join, accepted: BTreeMap::new(), given_up: BTreeSet::new(), was_erased: false, was_rebuilt: false }
    }

    /// Nothing is closed after a rebuild: every event that is there, late ones too, is joined to all of its keys; of two
    /// with one identity, the first.
    fn rebuilt(&mut self, sent: &[Sent], waiting: &[String]) {
        self.was_rebuilt = true;
        let mut texts = Vec::new();
        for rows in std::mem::take(&mut self.accepted).into_values() {
            let mut rows: Vec<_> = rows.into_iter().map(|text| (at(&self.join, &text), text)).collect();
            rows.sort();
            texts.extend(rows);
        }
        texts.extend(waiting.iter().map(|text| (at(&self.join, text), text.clone())));
        let mut taken = BTreeSet::new();
        for (position, text) in texts {
            let keys = sent.iter().find(|one| one.text == text).map_or(&[][..], |one| &one.keys);
            for key in keys {
                if taken.insert((*key, position.clone())) {
                    self.accepted.entry((*key).to_owned()).or_default().push(text.clone());
                    self.given_up.remove(&((*key).to_owned(), text.clone()));
                }
            }
        }
    }

    fn document(&self, key: &str) -> Option<String> {
        let rows = self.accepted.get(key).filter(|rows| !rows.is_empty())?;
        Some(naive::document(&self.join, key, rows))
    }
}

/// Who follows all changes.
struct Follower {
    cursor: Cursor,
    known: BTreeMap<String, (u64, Option<String>)>,
}

struct Life<'l> {
    plan: &'l Plan,
    hub: &'l Hub,
    folder: &'l DataFolder,
    options: Options,
    store: Option<Store>,
    expected: Expected,
    follower: Follower,
    now: u64,
}

impl Life<'_> {
    fn store(&self) -> Result<&Store> {
        self.store.as_ref().context("it is open")
    }

    fn lives(&mut self, sent: &[Sent]) -> Result<()> {
        let mut waiting: Vec<Sent> = sent.to_vec();
        while !waiting.is_empty() {
            let drawn = self.hub.below(16);
            self.hub.trace((drawn, self.now));
            match drawn {
                0..=5 => self.sends(&mut waiting)?,
                6..=7 => {
                    let (keys, trims) = (1 + self.hub.below(3), self.hub.below(4) > 0);
                    let made = self.store()?.upkeep(self.clock(), keys, trims && self.trims())?.made;
                    self.hub.trace(format!("{made:?}"));
                    self.hub.reached("snapshot", made.snapshots);
                    self.hub.reached("trimmed", made.trimmed);
                }
                8 => {
                    let key = self.key();
                    let done = self.store()?.snapshot(&[key], self.clock())?;
                    self.hub.trace(format!("{key} {done:?}"));
                    self.hub.reached("snapshot", done.iter().filter(|done| done.closed).count() as u64);
                }
                9 if self.trims() => {
                    let key = self.key();
                    let trimmed: u64 = self.store()?.trim(&[key])?.iter().sum();
                    self.hub.trace((key, trimmed));
                    self.hub.reached("trimmed", trimmed);
                }
                10 => self.store()?.flush()?,
                11 if self.happens(Fault::Restart, 2) => self.restarts()?,
                12 => self.decides_late()?,
                13 if self.erases_keys() && self.hub.below(4) == 0 => self.erases(sent)?,
                14 if !self.erases_keys() && self.happens(Fault::Redefined, 3) => self.rebuilds(sent)?,
                _ => self.follows(3)?,
            }
            self.looks()?;
            self.store()?.wait_for_flush()?;
        }
        Ok(())
    }

    /// Whether this life erases: what is erased need not be right any more, and most do not.
    fn erases_keys(&self) -> bool {
        self.plan.seed.is_multiple_of(4)
    }

    /// Whether this life trims: where it does, no other definition can be taken.
    fn trims(&self) -> bool {
        self.plan.weights().of(Fault::Redefined) == 0
    }

    /// Whether a fault that happens in this life happens now: once in so many times.
    fn happens(&self, fault: Fault, once_in: usize) -> bool {
        let happens = self.hub.weight(fault) > 0 && self.hub.below(once_in) == 0;
        if happens {
            self.hub.fired(fault);
        }
        happens
    }

    fn key(&self) -> &'static str {
        KEYS[self.hub.below(KEYS.len())]
    }

    /// The machine's clock, which may be set back.
    fn clock(&self) -> u64 {
        match self.hub.fires(Fault::Skew) {
            true => self.now - self.hub.below(30 * MINUTE as usize) as u64,
            false => self.now,
        }
    }

    /// A client's request: some of what is due, in any order.
    fn sends(&mut self, waiting: &mut Vec<Sent>) -> Result<()> {
        let count = (1 + self.hub.below(3)).min(waiting.len());
        let mut batch: Vec<Sent> = waiting.drain(..count).collect();
        if batch.len() > 1 && self.hub.fires(Fault::Disorder) {
            batch.reverse();
        }
        self.now = batch.iter().map(|one| one.at).max().unwrap_or_default().max(self.now);
        if self.hub.fires(Fault::ClockJump) {
            self.now += self.hub.below(120 * MINUTE as usize) as u64;
        }
        self.ingests(&batch)?;
        if self.hub.fires(Fault::Lost) {
            // The client does not know, and sends all of it again, at once or later.
            if self.hub.below(2) == 0 {
                self.ingests(&batch)?;
            } else {
                waiting.extend(batch);
            }
        } else if self.hub.fires(Fault::Redelivery) {
            self.ingests(&batch)?;
        }
        Ok(())
    }

    fn ingests(&mut self, batch: &[Sent]) -> Result<()> {
        let events: Vec<&[u8]> = batch.iter().map(|one| one.text.as_bytes()).collect();
        let outcomes = self.store()?.ingest(&Batch { events: &events, now: self.clock(), ..Batch::default() })?;
        self.hub.trace((self.now, format!("{events:?} {outcomes:?}")));
        let mut of_event: BTreeMap<u32, Vec<Outcome>> = BTreeMap::new();
        outcomes.into_iter().for_each(|(index, outcome)| of_event.entry(index).or_default().push(outcome));
        for (index, outcomes) in of_event {
            let one = &batch[index as usize];
            for (place, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    Outcome::Accepted => {
                        let key = *one.keys.get(place).context("what cannot be joined was accepted")?;
                        let rows = self.expected.accepted.entry(key.to_owned()).or_default();
                        ensure!(!rows.contains(&one.text), "accepted twice for {key}: {}", one.text);
                        rows.push(one.text.clone());
                        self.expected.given_up.remove(&(key.to_owned(), one.text.clone()));
                        self.hub.reached("accepted", 1);
                    }
                    Outcome::Duplicate => self.hub.reached("duplicate", 1),
                    Outcome::Late => self.hub.reached("late", 1),
                    Outcome::Quarantined(reason) => {
                        self.hub.reached("quarantined", 1);
                        self.hub.reached("same id, other body", u64::from(*reason == Reason::Conflict));
                    }
                    Outcome::Ignored => anyhow::bail!("ignored: {}", one.text),
                }
            }
        }
        Ok(())
    }

    fn restarts(&mut self) -> Result<()> {
        let store = self.store.take().context("it is open")?;
        match self.hub.below(3) {
            0 => store.close()?,
            _ => drop(store), // as after a kill: the log has everything
        }
        let (store, opened) = Store::open(self.folder, "lives", self.options.clone())?;
        self.hub.trace(format!("{opened:?}"));
        ensure!(opened.torn.is_none(), "a tail is torn that nobody tore");
        self.hub.reached("replayed", u64::from(opened.commits_replayed > 0));
        self.store = Some(store);
        Ok(())
    }

    /// An operator takes a late event after all, or does without it.
    fn decides_late(&mut self) -> Result<()> {
        let waiting = self.store()?.late_page(None, None, 100)?;
        if waiting.is_empty() {
            return Ok(());
        }
        let one = &waiting[self.hub.below(waiting.len())];
        let (key, position, text) = (one.key.clone(), one.event.row.position.clone(), one.event.row.body.to_string());
        let rows = self.expected.accepted.entry(key.clone()).or_default();
        let is_known = rows.iter().any(|row| at(&self.expected.join, row) == Some(position.clone()));
        self.hub.trace((&key, position.to_string(), &text));
        // He vouches that it is no repeat; where it is one, he does without it.
        if !is_known && self.hub.below(2) == 0 {
            rows.push(text);
            let taken = self.store()?.accept_late(&key, &position, self.now)?;
            ensure!(taken == Accepted::Folded, "a late event was not taken: {taken:?}");
            self.hub.reached("a late event taken", 1);
        } else {
            self.expected.given_up.insert((key.clone(), text));
            ensure!(self.store()?.drop_late(&key, &position)?, "a late event was not dropped");
        }
        Ok(())
    }

    fn erases(&mut self, sent: &[Sent]) -> Result<()> {
        let key = self.key();
        let erased = self.store()?.erase(key, self.now)?;
        self.hub.trace(format!("{key} {erased:?}"));
        self.now += 1;
        self.expected.was_erased = true;
        self.expected.accepted.remove(key);
        // Whatever came of it so far, at other keys too: what lay in quarantine is gone.
        for one in sent.iter().filter(|one| one.keys.contains(&key)) {
            for key in &one.keys {
                self.expected.given_up.insert(((*key).to_owned(), one.text.clone()));
            }
        }
        for one in sent.iter().filter(|one| one.keys.is_empty() && one.text.contains(key)) {
            self.expected.given_up.insert((String::new(), one.text.clone()));
        }
        self.hub.reached("erased", u64::from(erased.is_some()));
        Ok(())
    }

    fn rebuilds(&mut self, sent: &[Sent]) -> Result<()> {
        let store = self.store.take().context("it is open")?;
        let text = if self.hub.below(2) == 0 { DEFINITION } else { REDEFINED };
        let join = parsed(text, self.plan);
        let has_snapshots = store.counters().snapshots > 0;
        let mut waiting = Vec::new();
        store.each_late(None, |entry| {
            waiting.push(entry.event.row.body.to_string());
            Ok::<_, millpond_store::Error>(())
        })?;
        let (store, rebuilt) = store.rebuild(self.folder, parsed(text, self.plan), false, |_| ())?;
        self.hub.trace((text, format!("{rebuilt:?}")));
        self.store = Some(store);
        self.expected.join = join;
        self.expected.rebuilt(sent, &waiting);
        self.hub.reached("rebuilt", 1);
        self.hub.reached("rebuilt over snapshots", u64::from(has_snapshots));
        Ok(())
    }

    /// A key, as a reader sees it now.
    fn looks(&mut self) -> Result<()> {
        let key = self.key();
        let found = self.store()?.key_view(key)?;
        let document = found.as_ref().map(|found| found.view.state.document(&self.expected.join, key));
        self.hub.trace((key, &document));
        let right = self.expected.document(key);
        ensure!(document == right, "the view of {key} is {document:?}\nit should be {right:?}");
        if let Some(found) = found {
            let differences = verify(&self.expected.join, &found.view, &found.tail)?;
            ensure!(differences.is_empty(), "{key}: {differences:?}");
        }
        Ok(())
    }

    /// Reads some changes.
    fn follows(&mut self, limit: usize) -> Result<()> {
        let page = self.store()?.changes(&self.follower.cursor, &Filter::default(), limit)?;
        let Follower { cursor, known } = &mut self.follower;
        if page.reset {
            known.clear();
        }
        for change in page.changes {
            self.hub.trace((&change.key, change.version, &change.document));
            let before = known.insert(change.key.clone(), (change.version, change.document));
            let is_newer = before.is_none_or(|(version, _)| version < change.version);
            ensure!(is_newer, "version {} of {} is told after a newer one", change.version, change.key);
        }
        *cursor = page.next;
        Ok(())
    }

    fn ends(&mut self, sent: &[Sent]) -> Result<()> {
        let made = self.store()?.maintain(self.now);
        ensure!(made.is_ok() || !self.trims(), "{made:?}");
        // A flush that is under way may cut the log: who follows is told the same changes by either, in another order.
        self.store()?.wait_for_flush()?;
        for _ in 0..200 {
            self.follows(10)?;
        }
        let store = self.store()?;
        let mut found = Found { accepted: self.expected.accepted.clone(), ..Found::default() };
        for entry in store.late_page(None, None, 1_000)? {
            found.late.insert((entry.key, entry.event.row.body.to_string()));
        }
        for entry in store.quarantine_page(None, 1_000)? {
            found.quarantined.insert(String::from_utf8_lossy(&entry.quarantined.bytes).into_owned());
        }
        found.documents = store.documents("", None, 100)?.into_iter().collect();
        self.hub.trace(format!("{found:?}"));
        let mut sent = sent.to_vec();
        for one in &mut sent {
            if one.keys.iter().any(|key| self.expected.given_up.contains(&((*key).to_owned(), one.text.clone()))) {
                found.late.retain(|(_, text)| *text != one.text);
                found.quarantined.remove(&one.text);
                one.keys.retain(|key| found.accepted.get(*key).is_some_and(|rows| rows.contains(&one.text)));
            }
        }
        sent.retain(|one| {
            let is_given_up = self.expected.given_up.contains(&(String::new(), one.text.clone()));
            !one.keys.is_empty() || found.quarantined.contains(&one.text) || is_poison(&one.text) && !is_given_up
        });
        examine(&self.expected.join, &sent, &found).map_err(anyhow::Error::msg)?;
        let known =
            self.follower.known.iter().filter_map(|(key, (_, document))| Some((key.clone(), document.clone()?)));
        ensure!(known.eq(found.documents), "who followed the changes knows something else: {:?}", self.follower.known);
        let mut wrong = None;
        let verified = store.verify(|difference| wrong = Some(format!("{difference:?}")), |_| {})?;
        ensure!(verified.differences == 0, "verify: {wrong:?}");
        let counters = store.counters();
        ensure!(counters.divergence == 0, "divergence");
        let sum = counters.accepted + counters.duplicate + counters.late + counters.quarantined;
        let is_whole = self.expected.was_erased || self.expected.was_rebuilt || counters.received == sum;
        ensure!(is_whole, "received {} is not the sum of what became of them: {counters:?}", counters.received);
        Ok(())
    }
}

fn is_poison(text: &str) -> bool {
    text.contains("poison") || text.contains("\"p")
}

fn at(join: &Join, text: &str) -> Option<Position> {
    Some(Event::read(join, text.as_bytes()).ok()?.position().to_position())
}
