//! Changes of views, in the order of commits: what was committed is the feed, so that following it
//! costs the writers nothing.
//!
//! A reader that is close behind is told from the log; one that is far behind, or new, from a look
//! through all views for those that changed since. Either way it is told each (key, version) at
//! most once, versions of a key only grow, and the last one told is the one that is there. A version
//! that was overtaken before it could be told is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::Store;
use super::cursor::{Cursor, Place, Told};
use crate::error::Error;
use crate::log::{Commit, read_commits};
use crate::memory::Memory;
use crate::op::{Op, read_op};

/// Which keys a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this one.
    pub key: Option<String>,
    /// Only those that begin with this.
    pub prefix: String,
}

impl Filter {
    fn wants(&self, key: &str) -> bool {
        self.key.as_ref().is_none_or(|wanted| wanted == key) && key.starts_with(&self.prefix)
    }
}

/// A view that changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The place after this change.
    pub cursor: Cursor,
    /// The key.
    pub key: String,
    /// The view's version: the commit that changed its document.
    pub version: u64,
    /// The document; `None` if the key was erased.
    pub document: Option<String>,
}

/// Some changes.
#[derive(Clone, Debug)]
pub struct ChangePage {
    /// Before these changes, the reader must forget what it knows: keys may have gone that it was
    /// not told of. Everything that is there follows.
    pub reset: bool,
    /// The changes.
    pub changes: Vec<Changed>,
    /// Where to go on.
    pub next: Cursor,
    /// Whether there is more already; if not, wait for the next commit.
    pub more: bool,
}

/// A key whose change in a commit is to be told.
struct Candidate {
    commit: u64,
    key: String,
}

/// The newest change of a key.
enum Newest {
    /// The one that was asked for, and the document; `None` if that was an erasure.
    This(Option<String>),
    /// One of this commit, which need not be durable.
    Later(u64),
}

/// Commits that a reader takes in while nobody can commit, and rounds to come as near as that.
const CATCH_UP_COMMITS: u64 = 16;
const CATCH_UP_ROUNDS: usize = 8;
/// Views looked at in one page of a scan.
const SCANNED_KEYS: usize = 1_000;

impl Store {
    /// The place after all that is durable now.
    #[must_use]
    pub fn cursor_now(&self) -> Cursor {
        Cursor { edition: self.edition, ..Cursor::after(self.last_commit()) }
    }

    /// Up to about `limit` changes after a cursor. It does not wait for new ones.
    ///
    /// # Errors
    /// If the log or the tables cannot be read.
    pub fn changes(&self, cursor: &Cursor, filter: &Filter, limit: usize) -> Result<ChangePage, Error> {
        let mut page = self.page_of_changes(cursor, filter, limit)?;
        for cursor in page.changes.iter_mut().map(|change| &mut change.cursor).chain([&mut page.next]) {
            cursor.edition = self.edition;
        }
        Ok(page)
    }

    fn page_of_changes(&self, cursor: &Cursor, filter: &Filter, limit: usize) -> Result<ChangePage, Error> {
        let (durable, floor) = {
            let memory = self.memory()?;
            (memory.durable, memory.erasures.floor)
        };
        let from_start = || {
            let since = Told { commit: 0, key: None };
            Place::Scan { since, at: durable, after: None }.into()
        };
        let turn = |reset, next| Ok(ChangePage { reset, changes: Vec::new(), next, more: true });
        match &cursor.place {
            Place::Start => turn(false, from_start()),
            // It is a place in another history, or erasures since then are not remembered.
            _ if cursor.edition != self.edition => turn(true, from_start()),
            _ if cursor.commit() < floor || cursor.commit() > durable => turn(true, from_start()),
            Place::Scan { since, at, after } => self.scan(since, *at, after.as_deref(), filter),
            Place::Log(told) => self.follow(told, cursor, durable, filter, limit),
        }
    }

    /// Tells from the log, or turns to a scan if the log has not kept it.
    fn follow(
        &self,
        told: &Told,
        cursor: &Cursor,
        durable: u64,
        filter: &Filter,
        limit: usize,
    ) -> Result<ChangePage, Error> {
        let mut reading = Reading { told, filter, limit, candidates: Vec::new(), read_to: told.clone(), failed: None };
        let mut frame = cursor.frame;
        let mut whole = self.read(&mut reading, durable, &mut frame)?;
        // What was committed meanwhile, while that is much: a reader of few keys reads far.
        for _ in 0..CATCH_UP_ROUNDS {
            let last = self.last_commit();
            if !whole || reading.is_full() || last - reading.read_to.commit <= CATCH_UP_COMMITS {
                break;
            }
            whole = self.read(&mut reading, last, &mut frame)?;
        }
        // The last step is of one moment, or a key that changes all the time would always be
        // overtaken: what is committed by then is read while nobody can commit. Who is still behind
        // does not wait for that.
        let full = reading.is_full();
        let mut memory = if full { self.memory()? } else { self.settled()? };
        let last = memory.durable;
        let whole = whole && (full || self.read(&mut reading, last, &mut frame)?);
        if !whole {
            let gone: Vec<Candidate> = memory
                .erasures
                .all_between(told.commit, last)
                .map(|(commit, key)| Candidate { commit, key: key.to_owned() })
                .collect();
            if told.key.is_some() || gone.len() as u64 != last - told.commit {
                let scan = Place::Scan { since: told.clone(), at: last, after: None };
                return Ok(ChangePage { reset: false, changes: Vec::new(), next: scan.into(), more: true });
            }
            // Only erasures, which leave nothing in the log: they are known by heart.
            reading.candidates = gone.into_iter().filter(|gone| filter.wants(&gone.key)).collect();
            reading.read_to = Told { commit: last, key: None };
        }
        let Reading { candidates, read_to, .. } = reading;
        let mut changes = Vec::with_capacity(candidates.len());
        let mut overtaken_by = 0;
        for Candidate { commit, key } in candidates {
            match self.look_up(&mut memory, commit, &key)? {
                Newest::This(document) => {
                    let place = Place::Log(Told { commit, key: Some(key.clone()) });
                    changes.push(Changed { cursor: place.into(), key, version: commit, document });
                }
                Newest::Later(by) => overtaken_by = overtaken_by.max(by),
            }
        }
        // A crash could take back what has overtaken a change, and that would never be told.
        while memory.durable < overtaken_by {
            memory = self.wait(memory)?;
        }
        drop(memory);
        let more = read_to.key.is_some() || read_to.commit < last;
        Ok(ChangePage { reset: false, changes, next: Cursor { frame, ..Place::Log(read_to).into() }, more })
    }

    /// Takes in the log from where `reading` is to a commit.
    fn read(
        &self,
        reading: &mut Reading<'_>,
        through: u64,
        frame: &mut Option<crate::log::FramePlace>,
    ) -> Result<bool, Error> {
        let from = reading.read_to.commit + u64::from(reading.read_to.key.is_none());
        let whole = read_commits(&self.dir.join("log"), from, through, frame, |commit| reading.take(commit))?;
        match reading.failed.take() {
            Some(commit) => Err(Error::Unreadable { what: format!("an operation of commit {commit} in the log") }),
            None => Ok(whole),
        }
    }

    /// What is there of a key that a commit changed.
    fn look_up(&self, memory: &mut Memory, commit: u64, key: &str) -> Result<Newest, Error> {
        Ok(match memory.known_slot(&self.lsm, key)? {
            Some(slot) => match &memory.cache.slot(slot).record {
                record if record.changed == commit => Newest::This(Some(record.state.document(&self.join, key))),
                record => Newest::Later(record.changed),
            },
            None if memory.erasures.last_of(key) == Some(commit) => Newest::This(None),
            None => Newest::Later(0), // an erasure is seen when it is durable
        })
    }

    /// A page of all views, for those that changed since; and erased keys among them.
    fn scan(&self, since: &Told, at: u64, after: Option<&str>, filter: &Filter) -> Result<ChangePage, Error> {
        let prefix = filter.key.as_deref().unwrap_or(&filter.prefix);
        let records = self.records(prefix, after, SCANNED_KEYS)?;
        let more = records.len() == SCANNED_KEYS && filter.key.is_none();
        let last = records.last().map(|(key, _)| key.clone());
        let mut found: BTreeMap<String, (u64, Option<String>)> = BTreeMap::new();
        for (key, commit) in self.memory()?.erasures.between(since.commit, at) {
            let on_page =
                after.is_none_or(|after| key > after) && (!more || last.as_deref().is_some_and(|last| key <= last));
            if on_page && filter.wants(key) {
                found.insert(key.to_owned(), (commit, None));
            }
        }
        for (key, record) in records {
            // What changed after the scan began is told from the log.
            if filter.wants(&key) && record.changed <= at && !since.covers(record.changed, &key) {
                let document = record.state.document(&self.join, &key);
                found.insert(key, (record.changed, Some(document)));
            } else {
                found.remove(&key); // it is back
            }
        }
        let place = |after: Option<String>| Place::Scan { since: since.clone(), at, after };
        let changes = found
            .into_iter()
            .map(|(key, (version, document))| Changed {
                cursor: place(Some(key.clone())).into(),
                key,
                version,
                document,
            })
            .collect();
        let next = if more { place(last) } else { Place::Log(Told { commit: at, key: None }) };
        Ok(ChangePage { reset: false, changes, next: next.into(), more: true })
    }
}

/// The log, as it is read for one page.
struct Reading<'r> {
    told: &'r Told,
    filter: &'r Filter,
    limit: usize,
    candidates: Vec<Candidate>,
    read_to: Told,
    /// The commit that could not be read.
    failed: Option<u64>,
}

impl Reading<'_> {
    fn is_full(&self) -> bool {
        self.candidates.len() >= self.limit
    }

    /// Takes the changed keys of a commit, in their order, until there are enough.
    fn take(&mut self, commit: Commit<'_>) -> ControlFlow<()> {
        if self.is_full() {
            return ControlFlow::Break(());
        }
        let Some(keys) = changed_keys(&commit) else {
            self.failed = Some(commit.number);
            return ControlFlow::Break(());
        };
        for key in keys {
            if self.told.covers(commit.number, key) || !self.filter.wants(key) {
                continue;
            }
            if self.is_full() {
                return ControlFlow::Break(());
            }
            self.candidates.push(Candidate { commit: commit.number, key: key.to_owned() });
            self.read_to = Told { commit: commit.number, key: Some(key.to_owned()) };
        }
        self.read_to = Told { commit: commit.number, key: None };
        ControlFlow::Continue(())
    }
}

/// The keys whose documents a commit changed; `None` if it cannot be read.
fn changed_keys<'c>(commit: &Commit<'c>) -> Option<BTreeSet<&'c str>> {
    let mut keys = BTreeSet::new();
    let mut rest = commit.payload;
    while !rest.is_empty() {
        let (op, after) = read_op(rest).ok()?;
        match op {
            Op::Row(row) => keys.insert(std::str::from_utf8(row.key).ok()?),
            Op::View { key, record } if record.changed == commit.number => keys.insert(key),
            Op::Erase { key, .. } => keys.insert(key),
            Op::View { .. } | Op::Put { .. } => false,
        };
        rest = after;
    }
    Some(keys)
}

/// Keys that were erased since the store was opened, so that readers are told.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// In the order of commits.
    recent: Vec<(u64, Box<str>)>,
    /// A reader from before this commit may have missed one.
    pub(crate) floor: u64,
}

/// Erased keys that are remembered; older ones raise the floor.
const ERASURES_MAX: usize = 10_000;

impl Erasures {
    pub(crate) fn push(&mut self, commit: u64, key: &str) {
        self.recent.push((commit, key.into()));
        if self.recent.len() > ERASURES_MAX {
            self.floor = self.recent.remove(0).0;
        }
    }

    fn last_of(&self, key: &str) -> Option<u64> {
        self.recent.iter().rev().find(|(_, erased)| **erased == *key).map(|(commit, _)| *commit)
    }

    /// Whether the key was, or may have been, erased after a commit.
    pub(crate) fn erased_since(&self, commit: u64, key: &str) -> bool {
        self.floor > commit || self.last_of(key).is_some_and(|erased| erased > commit)
    }

    /// Erasures after a commit up to another.
    fn all_between(&self, after: u64, through: u64) -> impl Iterator<Item = (u64, &str)> {
        let wanted = move |commit: &u64| *commit > after && *commit <= through;
        self.recent.iter().filter(move |(commit, _)| wanted(commit)).map(|(commit, key)| (*commit, &**key))
    }

    fn between(&self, after: u64, through: u64) -> impl Iterator<Item = (&str, u64)> {
        self.all_between(after, through).map(|(commit, key)| (key, commit))
    }
}
