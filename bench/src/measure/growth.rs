//! What an event costs as histories grow, and what many keys cost.

use super::Bench;
use super::child::Task;
use super::figure::{Figure, count};
use super::load::{Load, Loaded};
use super::meter::{median, megabytes, per_million};
use crate::workload::Workload;

/// Events of each store, whatever their number a key.
const HISTORY_EVENTS: u64 = 400_000;
/// The first is what the others are compared with.
const EVENTS_PER_KEY: [u64; 5] = [10, 100, 1_000, 10_000, 100_000];
/// DESIGN.md, section 8.
const HISTORY_RATIO_MAX: f64 = 1.2;

const KEYS: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// Each key has an event at least.
const KEYS_EVENTS_MIN: u64 = 1_000_000;
/// DESIGN.md, section 8, of the last of [`KEYS`].
const PEAK_MB_MAX: f64 = 1_000.0;

/// CPU of an event at 10 to 100,000 events a key.
pub(super) fn history(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let events = bench.scaled(HISTORY_EVENTS);
    let mut cpu_s = EVENTS_PER_KEY.map(|_| Vec::new());
    for _ in 0..bench.runs {
        for (per_key, runs) in EVENTS_PER_KEY.iter().zip(&mut cpu_s) {
            let keys = Workload { events, ..Workload::default() }.with_events_per_key(*per_key).keys;
            runs.push(load(bench, events, keys)?.cpu_s);
        }
    }
    let cpu_s = cpu_s.map(median);
    let mut figures = Vec::new();
    for (per_key, cpu_s) in EVENTS_PER_KEY.iter().zip(cpu_s) {
        let name = format!("{} events a key: CPU", count(*per_key));
        figures.push(Figure::new(name, per_million(cpu_s, events), "CPU-s / M events"));
    }
    for (per_key, more_s) in EVENTS_PER_KEY.iter().zip(cpu_s).skip(1) {
        let name = format!("{} events a key against {}", count(*per_key), EVENTS_PER_KEY[0]);
        figures.push(Figure::new(name, more_s / cpu_s[0], "×").at_most(HISTORY_RATIO_MAX));
    }
    Ok(figures)
}

/// CPU and memory at ten thousand to ten million keys: one run each, since the last takes a minute.
pub(super) fn keys(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for full in KEYS {
        let keys = bench.scaled(full);
        let events = bench.scaled(KEYS_EVENTS_MIN).max(keys);
        let loaded = load(bench, events, keys)?;
        let figure = |of, value, unit| Figure::new(format!("{} keys, one run: {of}", count(keys)), value, unit);
        let peak = figure("peak memory", megabytes(loaded.peak_rss_bytes), "MB");
        figures.extend([
            figure("CPU", per_million(loaded.cpu_s, events), "CPU-s / M events"),
            if full == KEYS[KEYS.len() - 1] { peak.at_most(PEAK_MB_MAX) } else { peak },
            figure("on disk at the end", megabytes(loaded.disk_bytes), "MB"),
        ]);
    }
    Ok(figures)
}

fn load(bench: &Bench, events: u64, keys: u64) -> anyhow::Result<Loaded> {
    eprintln!("bench: {} events of {} keys", count(events), count(keys));
    let scratch = bench.scratch()?;
    Task::Load(Load::new(&scratch.path().join("data"), events, keys)).run(bench)
}
