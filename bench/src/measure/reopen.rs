//! Opening after kill -9: from nothing to the first view, with as much as possible only in the log.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use millpond_store::{DataFolder, Options, Store};

use super::Bench;
use super::child::{Task, report};
use super::figure::Figure;
use super::load::{Load, Loaded, Policy, Then};
use super::meter::{median, timed};
use super::sample::Sample;

/// More than the workload's events, in which a place with a nearly full memtable will be found: a memtable holds a fifth.
const EVENTS_SHARE: f64 = 1.25;

/// A tenth of DESIGN.md's 10 s at 10 GB, for a store of less than a gigabyte.
const REOPEN_S_MAX: f64 = 1.0;

#[derive(Debug)]
struct Reopened {
    seconds: f64,
    commits_replayed: u64,
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let runs = (0..bench.runs).map(|_| kill_and_reopen(bench)).collect::<anyhow::Result<Vec<_>>>()?;
    let replayed = median(runs.iter().map(|run| run.commits_replayed as f64));
    Ok(vec![
        Figure::new("kill -9 to first view", median(runs.iter().map(|run| run.seconds)), "s").at_most(REOPEN_S_MAX),
        Figure::new("kill -9: commits of 1,000 replayed", replayed, "commits"),
    ])
}

fn kill_and_reopen(bench: &Bench) -> anyhow::Result<Reopened> {
    let scratch = bench.scratch()?;
    let workload = bench.workload();
    let mut load =
        Load::new(&scratch.path().join("data"), (workload.events as f64 * EVENTS_SHARE) as u64, workload.keys);
    load.then = Then::AwaitKill { lines_min: workload.events };
    let sample = Sample::of(load.keys);
    let lines = load.workload().lines();
    let data = load.data.clone();
    let loaded = load_and_kill(bench, &Task::Load(load))?;
    reopen(&data, sample, lines.take(loaded.lines as usize))
}

/// Runs a load until it waits, and kills it.
fn load_and_kill(bench: &Bench, task: &Task) -> anyhow::Result<Loaded> {
    let mut child = task.command(bench)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("its output was not piped")?;
    let mut line = String::new();
    let told = BufReader::new(stdout).read_line(&mut line);
    child.kill()?; // SIGKILL
    child.wait()?;
    told?;
    report(&line)
}

fn reopen(data: &Path, mut sample: Sample, mut lines: impl Iterator<Item = String>) -> anyhow::Result<Reopened> {
    let first = lines.next().context("nothing was loaded")?;
    let mut number_of_lines = 1;
    sample.take(&first)?;
    for line in lines {
        sample.take(&line)?;
        number_of_lines += 1;
    }
    let (seconds, opened) = timed(|| -> anyhow::Result<_> {
        let folder = DataFolder::open(data)?;
        let (store, opened) = Store::open(&folder, Policy::AsDefined.join()?.name(), Options::default())?;
        let first_view = store.documents("", None, 1)?;
        Ok((folder, store, opened, first_view))
    });
    let (_folder, store, opened, first_view) = opened?;
    ensure!(first_view.len() == 1, "wrong answer: no view after reopening");
    let counters = store.counters();
    let known = counters.accepted + counters.duplicate;
    ensure!(known == number_of_lines && counters.received == known, "wrong counts: {counters:?}");
    sample.check(&store)?;
    Ok(Reopened { seconds, commits_replayed: opened.commits_replayed })
}
