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
///
/// With the same events in all, longer histories are of fewer keys, whose views are written less often: a cost that does
/// not grow shows as a ratio a little below 1.
pub(super) fn history(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let events = bench.scaled(HISTORY_EVENTS);
    let keys = EVENTS_PER_KEY.map(|each| Workload { events, ..Workload::default() }.with_events_per_key(each).keys);
    let mut cpu_s = keys.map(|_| Vec::new());
    for _ in 0..bench.runs {
        for (keys, runs) in keys.iter().zip(&mut cpu_s) {
            runs.push(load(bench, events, *keys)?.cpu_s);
        }
    }
    let cpu_s = cpu_s.map(median);
    let lengths = keys.map(|keys| count(events / keys));
    let cost = |(length, cpu_s): (&String, &f64)| {
        Figure::new(format!("{length} events a key: CPU"), per_million(*cpu_s, events), "CPU-s / M events")
    };
    let ratio = |(length, more_s): (&String, &f64)| {
        let name = format!("{length} events a key against {}: CPU", lengths[0]);
        Figure::new(name, more_s / cpu_s[0], "×").at_most(HISTORY_RATIO_MAX)
    };
    let costs = lengths.iter().zip(&cpu_s).map(cost);
    Ok(costs.chain(lengths.iter().zip(&cpu_s).skip(1).map(ratio)).collect())
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
