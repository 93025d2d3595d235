//! Reads of a store that was opened just now, with its files still in the page cache; one reader.

use std::fs;

use anyhow::{Context, ensure};
use millpond_store::{DataFolder, Options, Store};

use super::Bench;
use super::child::Task;
use super::figure::{Figure, count};
use super::inputs::Inputs;
use super::load::{Load, Loaded, Policy};
use super::meter::{Meter, per_million, percentile, timed};
use crate::rng::Rng;
use crate::workload::Workload;

/// Reads of each kind.
const READS: u64 = 20_000;
/// Views read at once; as `millpond view` does.
const PAGE_VIEWS: usize = 1_000;
/// Events of the tails that are read.
const TAIL_EVENTS: usize = 10;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let inputs = Inputs::prepare(bench)?;
    let expected = fs::read_to_string(inputs.expected())?;
    let Workload { events, keys, .. } = bench.workload();
    let scratch = bench.scratch()?;
    let data = scratch.path().join("data");
    let _: Loaded = Task::Load(Load::new(&data, events, keys)).run(bench)?;
    let folder = DataFolder::open(&data)?;
    let open = || Store::open(&folder, Policy::AsDefined.join()?.name(), Options::default()).context("opening");
    let (mut chance, reads) = (Rng::new(keys, 0), bench.scaled(READS));
    let (store, _) = open()?;
    let mut figures = views(&store, &mut chance, keys, reads)?;
    drop(store);
    let (store, _) = open()?; // so that tails are read from the tables too
    figures.extend(tails(&store, &mut chance, keys, reads)?);
    figures.push(scan(&store, &expected)?);
    figures.push(verify(&store, events, keys)?);
    Ok(figures)
}

/// The first reads come from the tables, later ones mostly from memory: so the two are told apart.
fn views(store: &Store, chance: &mut Rng, keys: u64, reads: u64) -> anyhow::Result<Vec<Figure>> {
    let mut shuffled: Vec<String> = (0..keys).map(key).collect();
    for last in (1..shuffled.len()).rev() {
        shuffled.swap(last, chance.below(last as u64 + 1) as usize);
    }
    shuffled.truncate(reads as usize);
    let mut figures = Vec::new();
    for from in ["tables", "memory"] {
        let mut micros = Vec::new();
        for key in &shuffled {
            let (seconds, document) = timed(|| store.document(key));
            ensure!(document?.is_some(), "wrong answer: no view of {key}");
            micros.push(seconds * 1e6);
        }
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = percentile(micros.iter().copied(), share);
            figures.push(Figure::new(format!("view of a random key, from {from}: {name}"), value, "µs"));
        }
    }
    Ok(figures)
}

/// The tails of random keys that have as many events as the name says.
fn tails(store: &Store, chance: &mut Rng, keys: u64, reads: u64) -> anyhow::Result<Vec<Figure>> {
    let mut micros = Vec::new();
    for _ in 0..reads {
        let key = key(chance.below(keys));
        let (seconds, view) = timed(|| store.key_view(&key));
        let tail = view?.with_context(|| format!("wrong answer: no view of {key}"))?.tail;
        if tail.len() == TAIL_EVENTS {
            micros.push(seconds * 1e6);
        }
    }
    ensure!(!micros.is_empty(), "no key with {TAIL_EVENTS} events was met");
    let name = format!("view with a tail of {TAIL_EVENTS} events, from tables: p50");
    Ok(vec![Figure::new(name, percentile(micros, 0.5), "µs")])
}

fn scan(store: &Store, expected: &str) -> anyhow::Result<Figure> {
    let mut expected = expected.lines();
    let mut meter = Meter::start();
    let (mut after, mut views) = (None, 0_u64);
    loop {
        let page = store.documents("", after.as_deref(), PAGE_VIEWS)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        views += page.len() as u64;
        let right = meter.excluding(|| page.iter().all(|(_, view)| expected.next() == Some(view)));
        ensure!(right, "wrong answer: a view of the scan is not the oracle's");
    }
    ensure!(expected.next().is_none(), "wrong answer: the scan ends too early");
    let name = format!("scan of all views, {} a page", count(PAGE_VIEWS as u64));
    Ok(Figure::new(name, meter.stop().seconds * 1e9 / views as f64, "ns / view"))
}

fn verify(store: &Store, events: u64, keys: u64) -> anyhow::Result<Figure> {
    let meter = Meter::start();
    let verified = store.verify(|_| (), |_| ())?;
    let spent = meter.stop();
    let right = verified.differences == 0 && verified.rows == events && verified.keys == keys;
    ensure!(right, "wrong answer: {verified:?}");
    Ok(Figure::new("verify", per_million(spent.cpu_s, events), "CPU-s / M events"))
}

/// As the workload writes them.
fn key(number: u64) -> String {
    format!("user-{number:06}")
}
