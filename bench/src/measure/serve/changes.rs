//! A reader of all changes, as long as the load lasts: versions of a key only grow, and probes are timed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::value::RawValue;

use super::connection::Connection;
use super::probe::{PREFIX, PROBE_KEYS, Probes};
use super::schedule::Times;
use super::shared::Shared;

const READ_BYTES: usize = 256 << 10;
/// How often it looks whether it is stopped, where nothing changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longer than between two signs of life, which come every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What the reader was told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) changes: u64,
    pub(super) resets: u64,
    /// From the time an event was due until its change was told.
    pub(super) told: Times,
    /// What was told last of each key.
    pub(super) last: BTreeMap<String, Told>,
    /// Events in the views of the probes' keys.
    pub(super) probes: [usize; PROBE_KEYS],
}

/// A view as it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    version: u64,
    /// Of the document.
    hash: u64,
}

impl Told {
    fn new(version: u64, document: &str) -> Self {
        Self { version, hash: BuildHasherDefault::<DefaultHasher>::default().hash_one(document) }
    }
}

#[derive(serde::Deserialize)]
struct Change<'l> {
    key: &'l str,
    version: u64,
    #[serde(borrow)]
    document: &'l RawValue,
}

#[derive(serde::Deserialize)]
struct Document {
    #[serde(rename = "recentOrderCount")]
    orders: usize,
}

/// A reader that others look at.
#[derive(Debug, Default)]
pub(super) struct Follower {
    seen: Mutex<Seen>,
    ended: AtomicBool,
}

impl Follower {
    /// Reads until it is told to end.
    pub(super) fn follow(&self, shared: &Shared, probes: &Probes) {
        if let Err(error) = self.read(shared, probes) {
            shared.fail("reading changes", &error);
        }
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// What it was told until now.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, shared: &Shared, probes: &Probes) -> anyhow::Result<()> {
        let target = "/v1/changes/user-activity?from=start";
        let (stream, begun) = Connection::open(shared.address)?.stream(target, "accept: text/event-stream\r\n")?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        let mut lines = BufReader::with_capacity(READ_BYTES, Cursor::new(begun).chain(stream));
        let mut line = Vec::new();
        let mut silence = 0;
        while !self.ended.load(Ordering::Relaxed) {
            match lines.read_until(b'\n', &mut line) {
                Ok(_) if line.last() == Some(&b'\n') => {
                    silence = 0;
                    self.seen().take(&line, probes)?;
                    line.clear();
                }
                Ok(_) => bail!("the changes ended"),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    silence += 1;
                    ensure!(silence * LOOK_EVERY < SILENCE_MAX, "no change and no sign of life");
                }
                Err(error) => return Err(error).context("reading changes"),
            }
        }
        Ok(())
    }
}

impl Seen {
    /// Whether this is what was told last of a key.
    pub(super) fn is_told(&self, key: &str, document: &str) -> bool {
        self.last.get(key).is_some_and(|told| *told == Told::new(told.version, document))
    }

    fn take(&mut self, line: &[u8], probes: &Probes) -> anyhow::Result<()> {
        if line.starts_with(b"event: reset") {
            self.resets += 1;
        }
        if !line.starts_with(b"data: {\"key\"") {
            return Ok(());
        }
        let text = std::str::from_utf8(&line[b"data: ".len()..]).context("a change is text")?;
        let Change { key, version, document } = serde_json::from_str(text).context("a change is JSON")?;
        self.changes += 1;
        let told = Told::new(version, document.get());
        match self.last.get_mut(key) {
            Some(known) => {
                ensure!(known.version < version, "{key}: version {version} was told after version {}", known.version);
                *known = told;
            }
            None => {
                self.last.insert(key.to_owned(), told);
            }
        }
        if let Some(probe) = key.strip_prefix(PREFIX) {
            let Document { orders } = serde_json::from_str(document.get())?;
            self.tell(probe.parse()?, orders, probes);
        }
        Ok(())
    }

    /// A probe's view with so many events was told: so were those in between.
    fn tell(&mut self, probe: usize, events: usize, probes: &Probes) {
        for event in self.probes[probe]..events {
            if let Some((due, true)) = probes.due(probe, event) {
                self.told.add(due.elapsed());
            }
        }
        self.probes[probe] = events;
    }
}
