//! A reader of all changes, as long as the load lasts: versions of a key only grow, and probes are timed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{BufRead, BufReader, Cursor, Read};
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
/// Longer than between two signs of life.
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
    pub(super) version: u64,
    /// Of the document.
    hash: u64,
}

impl Told {
    pub(super) fn new(version: u64, document: &str) -> Self {
        Self { version, hash: BuildHasherDefault::<DefaultHasher>::default().hash_one(document) }
    }

    pub(super) fn is_document(self, document: &str) -> bool {
        self == Self::new(self.version, document)
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

/// Reads until the load is stopped and every probe was told.
pub(super) fn follow(shared: &Shared, probes: &Probes) -> Seen {
    let mut seen = Seen::default();
    if let Err(error) = read(shared, probes, &mut seen) {
        shared.fail("reading changes", &error);
    }
    seen
}

fn read(shared: &Shared, probes: &Probes, seen: &mut Seen) -> anyhow::Result<()> {
    let (stream, begun) = Connection::open(shared.address)?
        .stream("/v1/changes/user-activity?from=start", "accept: text/event-stream\r\n")?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    let mut lines = BufReader::with_capacity(READ_BYTES, Cursor::new(begun).chain(stream));
    let mut line = Vec::new();
    let mut silence = 0;
    while !(shared.is_stopped() && (0..PROBE_KEYS).all(|key| seen.probes[key] == probes.sent(key))) {
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => bail!("the changes ended"),
            Ok(_) if line.last() == Some(&b'\n') => {
                silence = 0;
                seen.take(&line, probes)?;
                line.clear();
            }
            Ok(_) => bail!("the changes were cut off"),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                silence += 1;
                ensure!(silence * LOOK_EVERY < SILENCE_MAX, "no more changes, but probes that were not told");
            }
            Err(error) => return Err(error).context("reading changes"),
        }
    }
    Ok(())
}

impl Seen {
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
