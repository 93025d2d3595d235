//! Snapshots and trims while events come in, beside the same events without.

use super::Bench;
use super::child::Task;
use super::figure::Figure;
use super::load::{Load, Loaded, Policy};
use super::meter::{median, megabytes, per_million};

const EVENTS: u64 = 1_000_000;
/// A hundred events each.
const KEYS: u64 = 10_000;

/// The clock moves a second a batch of 1,000, and a second copy comes at most 8,000 events behind (twice
/// `REACH_EVENTS_MAX`): within ten seconds nothing is late, so that the answer is still the oracle's, and after them
/// everything is closed.
const LATENESS_S: u64 = 10;
/// Five snapshots a key at most.
const SNAPSHOT_EVERY: u32 = 20;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let events = bench.scaled(EVENTS);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        without.push(load(bench, events, Policy::AsDefined)?);
        with.push(load(bench, events, Policy::Soon { lateness_s: LATENESS_S, snapshot_every: SNAPSHOT_EVERY })?);
    }
    let mut figures = Vec::new();
    for (what, runs) in [("without snapshots", &without), ("with snapshots and trims", &with)] {
        let median = |of: fn(&Loaded) -> f64| median(runs.iter().map(of));
        let figure = |of, value, unit| Figure::new(format!("ingest {what}: {of}"), value, unit);
        figures.push(figure("CPU", per_million(median(|run| run.cpu_s), events), "CPU-s / M events"));
        figures.push(figure("on disk at the end", median(|run| megabytes(run.disk_bytes)), "MB"));
    }
    figures.push(Figure::new("snapshots made", with[0].snapshots as f64, "snapshots"));
    figures.push(Figure::new("events trimmed", with[0].trimmed as f64, "events"));
    Ok(figures)
}

fn load(bench: &Bench, events: u64, policy: Policy) -> anyhow::Result<Loaded> {
    let scratch = bench.scratch()?;
    let keys = bench.scaled(KEYS);
    Task::Load(Load { policy, ..Load::new(&scratch.path().join("data"), events, keys) }).run(bench)
}
