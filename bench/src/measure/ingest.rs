//! A file through the real `millpond run`, as its users start it, and the floor in the same rounds.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use serde_json::Value;

use super::child::Task;
use super::figure::{Figure, count};
use super::floor::{Floor, Floored};
use super::inputs::Inputs;
use super::machine::disk_bytes;
use super::meter::{median, megabytes, per_million};
use super::process::{self, Finished};
use super::{BATCH_EVENTS, Bench, DEFINITION, START_MS};

/// Events of one commit.
const BATCHES: [usize; 3] = [100, BATCH_EVENTS, 10_000];

/// DESIGN.md, section 8; 3.5 later.
const CPU_S_PER_M_MAX: f64 = 6.5;

/// One run of `millpond run`.
#[derive(Debug)]
struct Run {
    finished: Finished,
    disk_bytes: u64,
    received: u64,
}

/// The runs of one figure, a round each.
#[derive(Debug, Default)]
struct Rounds(Vec<Run>);

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let inputs = Inputs::prepare(bench)?;
    let mut first = BATCHES.map(|_| Rounds::default());
    let (mut again, mut shuffled) = (Rounds::default(), Rounds::default());
    let mut floor_cpu_s = Vec::new();
    // Everything once a round, so that a slow minute of the machine hits all alike.
    for round in 1..=bench.runs {
        eprintln!("bench: round {round} of {}", bench.runs);
        for (batch, rounds) in BATCHES.iter().zip(&mut first) {
            let scratch = bench.scratch()?;
            rounds.0.push(run(bench, &inputs, &inputs.delivered(), *batch, scratch.path())?);
            if *batch == BATCH_EVENTS {
                again.0.push(run_again(bench, &inputs, scratch.path())?);
            }
        }
        shuffled.0.push(run(bench, &inputs, &inputs.shuffled(), BATCH_EVENTS, bench.scratch()?.path())?);
        floor_cpu_s.push(floor(bench, &inputs)?.cpu_s);
    }

    let mut figures = Vec::new();
    for (batch, rounds) in BATCHES.iter().zip(&first) {
        let what = format!("`run`, batches of {}", count(*batch as u64));
        figures.extend(rounds.figures(&what, inputs.events, ["events/s", "CPU-s / M events"], *batch == BATCH_EVENTS));
    }
    for (rounds, what) in [(&shuffled, "every line twice, shuffled"), (&again, "the same file again")] {
        let lines = rounds.0[0].received;
        let what = format!("`run`, {what} (batches of {})", count(BATCH_EVENTS as u64));
        figures.extend(rounds.figures(&what, lines, ["lines/s", "CPU-s / M lines"], false));
    }
    let floor_cpu_s = median(floor_cpu_s);
    let ratio = first[1].cpu_s() / floor_cpu_s;
    let what = format!("maps and one log, fdatasync per {}", count(BATCH_EVENTS as u64));
    figures.push(Figure::new(format!("floor: {what}"), per_million(floor_cpu_s, inputs.events), "CPU-s / M events"));
    figures.push(Figure::new("`run` against the floor, CPU", ratio, "×"));
    Ok(figures)
}

impl Rounds {
    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.0.iter().map(of))
    }

    fn cpu_s(&self) -> f64 {
        self.median(|run| run.finished.cpu_s)
    }

    fn figures(&self, what: &str, count: u64, units: [&'static str; 2], aimed: bool) -> Vec<Figure> {
        let figure = |of: &str, value, unit| Figure::new(format!("{what}: {of}"), value, unit);
        let cpu = figure("CPU", per_million(self.cpu_s(), count), units[1]);
        let mut figures = vec![
            figure("speed", count as f64 / self.median(|run| run.finished.seconds), units[0]),
            if aimed { cpu.at_most(CPU_S_PER_M_MAX) } else { cpu },
            figure("peak memory", self.median(|run| megabytes(run.finished.peak_rss_bytes)), "MB"),
        ];
        if self.0.iter().all(|run| run.finished.written_bytes.is_some()) {
            let written = |run: &Run| megabytes(run.finished.written_bytes.unwrap_or_default());
            figures.push(figure("written", self.median(written), "MB"));
        }
        figures.push(figure("on disk at the end", self.median(|run| megabytes(run.disk_bytes)), "MB"));
        figures
    }
}

/// A file into the store of a folder; then its answer is checked.
fn run(bench: &Bench, inputs: &Inputs, file: &Path, batch: usize, dir: &Path) -> anyhow::Result<Run> {
    let (definition, data) = (dir.join("join.toml"), dir.join("data"));
    fs::write(&definition, DEFINITION)?;
    let mut command = Command::new(&bench.programs.millpond);
    command.arg("run").args([&definition, file]).arg("--data").arg(&data).arg("--json");
    command.args(["--batch", &batch.to_string(), "--now", &START_MS.to_string()]);
    let finished = process::run(&mut command)?;
    let summary: Value = serde_json::from_str(&finished.stdout)?;
    let counted = |what: &str| summary[what].as_u64().unwrap_or_default();
    let received = counted("received");
    ensure!(received > 0 && counted("accepted") + counted("duplicate") == received, "wrong counts: {summary}");
    check_views(bench, inputs, &data)?;
    Ok(Run { finished, disk_bytes: disk_bytes(&data)?, received })
}

/// The same file over the store that holds it: every line is a duplicate.
fn run_again(bench: &Bench, inputs: &Inputs, dir: &Path) -> anyhow::Result<Run> {
    let run = run(bench, inputs, &inputs.delivered(), BATCH_EVENTS, dir)?;
    let summary: Value = serde_json::from_str(&run.finished.stdout)?;
    ensure!(summary["duplicate"].as_u64() == Some(run.received), "wrong counts: {summary}");
    Ok(run)
}

fn check_views(bench: &Bench, inputs: &Inputs, data: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(&bench.programs.millpond);
    let output = command.args(["view", "user-activity", "--data"]).arg(data).output()?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    ensure!(output.stdout == fs::read(inputs.expected())?, "wrong answer: the views are not the oracle's");
    Ok(())
}

fn floor(bench: &Bench, inputs: &Inputs) -> anyhow::Result<Floored> {
    let scratch = bench.scratch()?;
    let task = Task::Floor(Floor {
        events: inputs.delivered(),
        expected: inputs.expected(),
        log: scratch.path().join("log"),
        batch_events: BATCH_EVENTS,
    });
    task.run(bench)
}
