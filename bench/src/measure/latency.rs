//! One event in, durable and readable; beside it a plain append and fdatasync of as many bytes, turn by turn in the same
//! folder, so that the disk's moods hit both.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use millpond_core::Join;
use millpond_store::{Batch, DataFolder, Options, Store};

use super::figure::Figure;
use super::meter::{median, percentile, timed};
use super::{Bench, DEFINITION, START_MS};
use crate::workload::Workload;

/// Turns of each.
const TURNS: u64 = 2_000;
/// Turns before them: files are made, memory is taken, and the length of a commit is learnt.
const WARM_UP_TURNS: u64 = 100;

/// DESIGN.md, section 8.
const DIFFERENCE_MS_MAX: f64 = 0.3;

/// Milliseconds of each turn.
#[derive(Debug, Default)]
struct Turns {
    ingest: Vec<f64>,
    raw: Vec<f64>,
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let scratch = bench.scratch()?;
    let turns = take_turns(scratch.path(), bench.scaled(TURNS))?;
    let at = |values: &[f64], share| percentile(values.iter().copied(), share);
    let (ingest, raw) = (median(turns.ingest.iter().copied()), median(turns.raw.iter().copied()));
    let figure = |name: &str, value| Figure::new(name, value, "ms");
    Ok(vec![
        figure("one event, durable and read back: p50", ingest),
        figure("one event, durable and read back: p99", at(&turns.ingest, 0.99)),
        figure("write + fdatasync of as many bytes: p50", raw),
        figure("write + fdatasync of as many bytes: p99", at(&turns.raw, 0.99)),
        figure("difference of the p50", ingest - raw).at_most(DIFFERENCE_MS_MAX),
    ])
}

fn take_turns(dir: &Path, turns: u64) -> anyhow::Result<Turns> {
    let folder = DataFolder::open_or_create(&dir.join("data"))?;
    let (store, _) = Store::open_or_create(&folder, Join::parse(DEFINITION)?, Options::default())?;
    // All are distinct and in order: each is one commit, in one way.
    let workload =
        Workload { events: WARM_UP_TURNS + turns, duplicate_share: 0.0, disorder_share: 0.0, ..Workload::default() };
    let mut lines = workload.lines();
    let before = store.disk_bytes();
    for line in lines.by_ref().take(WARM_UP_TURNS as usize) {
        ingest(&store, &line)?;
    }
    let commit = vec![b'x'; ((store.disk_bytes() - before) / WARM_UP_TURNS) as usize];
    let mut file = File::create(dir.join("raw"))?;
    let mut done = Turns::default();
    for (turn, line) in lines.enumerate() {
        let first_ms = (turn % 2 == 0).then(|| append(&mut file, &commit)).transpose()?;
        done.ingest.push(ingest(&store, &line)?);
        done.raw.push(first_ms.map_or_else(|| append(&mut file, &commit), Ok)?);
    }
    ensure!(store.counters().accepted == workload.events, "wrong counts: {:?}", store.counters());
    Ok(done)
}

/// Ingests one event and reads its view: milliseconds.
fn ingest(store: &Store, line: &str) -> anyhow::Result<f64> {
    let (_, key) = line.split_once(r#""partitionKey":""#).context("a line without a key")?;
    let key = key.split('"').next().unwrap_or(key);
    let events: [&[u8]; 1] = [line.as_bytes()];
    let (seconds, document) = timed(|| {
        store.ingest(&Batch { events: &events, now: START_MS, ..Batch::default() })?;
        store.document(key)
    });
    ensure!(document?.is_some(), "wrong answer: no view of {key}");
    Ok(seconds * 1e3)
}

/// Appends bytes durably: milliseconds.
fn append(file: &mut File, bytes: &[u8]) -> anyhow::Result<f64> {
    let (seconds, appended) = timed(|| file.write_all(bytes).and_then(|()| file.sync_data()));
    appended?;
    Ok(seconds * 1e3)
}
