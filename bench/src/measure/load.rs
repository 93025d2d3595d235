//! Loads a workload into a store, as a library, in a process of its own. The events are made on the way: ten million of
//! them are never in a file.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use millpond_core::Join;
use millpond_store::{Batch, Counters, DataFolder, Options, Store};
use serde::{Deserialize, Serialize};

use super::child::tell;
use super::machine::{disk_bytes, peak_rss_bytes};
use super::meter::Meter;
use super::sample::Sample;
use super::{BATCH_EVENTS, DEFINITION, START_MS};
use crate::workload::{Lines, Workload};

/// How far the clock moves from one batch to the next.
const CLOCK_STEP_MS: u64 = 1_000;

/// A log's file that holds this share of what a memtable may: any more, and a flush could empty it.
const NEARLY_FULL: f64 = 0.95;

/// What to load.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) data: PathBuf,
    pub(super) events: u64,
    pub(super) keys: u64,
    pub(super) policy: Policy,
    pub(super) then: Then,
}

/// When snapshots are made, beside the example's definition.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Policy {
    /// After seven days: in a bench, never.
    AsDefined,
    /// After `lateness_s` (the clock moves a second a batch), if a tail is longer than `snapshot_every`.
    Soon { lateness_s: u64, snapshot_every: u32 },
}

/// What follows the last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Then {
    /// Flush, check the answer and end.
    Close,
    /// Report and wait, with as much in the log as the store lets it have, at any place behind so many lines.
    AwaitKill { lines_min: u64 },
}

/// What loading took.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Loaded {
    /// Lines acknowledged.
    pub(super) lines: u64,
    pub(super) cpu_s: f64,
    pub(super) peak_rss_bytes: u64,
    pub(super) disk_bytes: u64,
    pub(super) snapshots: u64,
    pub(super) trimmed: u64,
}

impl Policy {
    pub(super) fn join(self) -> anyhow::Result<Join> {
        let text = match self {
            Self::AsDefined => DEFINITION.to_owned(),
            Self::Soon { lateness_s, snapshot_every } => {
                let text = replaced(DEFINITION, r#""7d""#, &format!(r#""{lateness_s}s""#))?;
                replaced(&text, "snapshot_every = 100", &format!("snapshot_every = {snapshot_every}"))?
            }
        };
        Ok(Join::parse(&text)?)
    }
}

fn replaced(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    ensure!(text.matches(from).count() == 1, "the example's definition has no {from}, or two");
    Ok(text.replace(from, to))
}

impl Load {
    /// A load into `data`, under the example's definition, to its end.
    pub(super) fn new(data: &Path, events: u64, keys: u64) -> Self {
        Self { data: data.to_owned(), events, keys, policy: Policy::AsDefined, then: Then::Close }
    }

    pub(super) fn workload(&self) -> Workload {
        Workload { events: self.events, keys: self.keys, ..Workload::default() }
    }

    pub(super) fn run(&self) -> anyhow::Result<()> {
        let folder = DataFolder::open_or_create(&self.data)?;
        let (store, _) = Store::open_or_create(&folder, self.policy.join()?, Options::default())?;
        let mut sample = Sample::of(self.keys);
        let loaded = self.ingest(&store, &mut sample)?;
        match self.then {
            Then::Close => {
                self.check(&store.counters(), loaded.lines)?;
                sample.check(&store)?;
                tell(&loaded)
            }
            Then::AwaitKill { .. } => {
                tell(&loaded)?;
                // Until the parent kills this process, or is gone itself.
                std::io::stdin().read_to_end(&mut Vec::new())?;
                Ok(())
            }
        }
    }

    fn ingest(&self, store: &Store, sample: &mut Sample) -> anyhow::Result<Loaded> {
        let mut lines = self.workload().lines();
        let mut batch = LineBatch::default();
        let (mut taken, mut now) = (0, START_MS);
        let mut meter = Meter::start();
        while meter.excluding(|| batch.fill(&mut lines, sample))? {
            let events: Vec<&[u8]> = batch.lines().collect();
            store.ingest(&Batch { events: &events, now, ..Batch::default() })?;
            store.maintain(now)?;
            taken += events.len() as u64;
            now += CLOCK_STEP_MS;
            if meter.excluding(|| self.is_time_to_die(taken))? {
                break;
            }
        }
        if self.then == Then::Close {
            store.flush()?;
        }
        let spent = meter.stop();
        let Counters { snapshots, trimmed, .. } = store.counters();
        Ok(Loaded {
            lines: taken,
            cpu_s: spent.cpu_s,
            peak_rss_bytes: peak_rss_bytes("self")?,
            disk_bytes: disk_bytes(&self.data)?,
            snapshots,
            trimmed,
        })
    }

    /// Whether there is enough, and nearly a whole memtable that only the log holds.
    fn is_time_to_die(&self, taken: u64) -> anyhow::Result<bool> {
        match self.then {
            Then::AwaitKill { lines_min } if taken >= lines_min => {
                let full = Options::default().memtable_bytes as f64 * NEARLY_FULL;
                Ok(newest_log_bytes(&self.data)? as f64 >= full)
            }
            _ => Ok(false),
        }
    }

    /// Every line must be accounted for, and none refused.
    fn check(&self, counters: &Counters, lines: u64) -> anyhow::Result<()> {
        let right = Counters {
            received: lines,
            accepted: self.events,
            duplicate: lines - self.events,
            keys: counters.keys,
            snapshots: counters.snapshots,
            trimmed: counters.trimmed,
            ..Counters::default()
        };
        ensure!(*counters == right, "wrong counts: {counters:?}; right is {right:?}");
        let keys_known = self.events < self.keys || counters.keys == self.keys;
        ensure!(keys_known, "wrong answer: {} keys; right is {}", counters.keys, self.keys);
        Ok(())
    }
}

/// The length of the last of the log's files of the only join; they are named by their first commit.
fn newest_log_bytes(data: &Path) -> anyhow::Result<u64> {
    let log = data.join(Policy::AsDefined.join()?.name()).join("log");
    let newest = fs::read_dir(log)?.filter_map(Result::ok).max_by_key(fs::DirEntry::file_name);
    // A flush may have removed it since; then the next look finds another.
    Ok(newest.and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len()))
}

/// The lines of one commit.
#[derive(Debug, Default)]
struct LineBatch {
    text: String,
    ends: Vec<usize>,
}

impl LineBatch {
    /// Takes the next lines; false if there are no more.
    fn fill(&mut self, lines: &mut Lines, sample: &mut Sample) -> anyhow::Result<bool> {
        self.text.clear();
        self.ends.clear();
        while self.ends.len() < BATCH_EVENTS {
            let Some(line) = lines.next_line() else { break };
            sample.take(line)?;
            self.text.push_str(line);
            self.ends.push(self.text.len());
        }
        Ok(!self.ends.is_empty())
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text.as_bytes()[start..end])
    }
}
