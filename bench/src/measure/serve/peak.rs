//! The published workload over HTTP, as fast as it is taken, and `millpond run` on the same events in the same rounds.

use std::fs;
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};

use super::super::figure::{Figure, count};
use super::super::inputs::Inputs;
use super::super::meter::{Meter, median, per_million};
use super::super::process;
use super::super::{BATCH_EVENTS, Bench, DEFINITION, START_MS};
use super::connection::Connection;
use super::server::Server;
use super::taken::{NDJSON, Taken};
use crate::oracle::Oracle;

const CONNECTIONS: [usize; 3] = [1, 4, 16];

/// Events of a request, and how many events are sent so: enough for some seconds.
const BATCHES: [(usize, u64); 3] = [(BATCH_EVENTS, 1_000_000), (100, 300_000), (1, 50_000)];

/// What HTTP may add to `run` in batches of 1,000.
const RATIO_MAX: f64 = 1.3;

/// The first lines of the workload, in requests of so many, and their answer.
struct Load {
    batch: usize,
    text: Vec<u8>,
    requests: Vec<Range<usize>>,
    lines: u64,
    distinct: u64,
    expected: String,
}

/// One server that took a load.
struct Run {
    seconds: f64,
    cpu_s: f64,
    generator_cpu_s: f64,
}

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Figure>> {
    let inputs = Inputs::prepare(bench)?;
    let text = fs::read(inputs.delivered())?;
    let loads = BATCHES.map(|(batch, events)| Load::new(&text, batch, bench.scaled(events)));
    let loads = loads.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let mut rounds: Vec<(usize, usize, Vec<Run>)> =
        (0..loads.len()).flat_map(|load| CONNECTIONS.map(|connections| (load, connections, Vec::new()))).collect();
    let mut plain_cpu_s = Vec::new();
    for round in 1..=bench.runs {
        eprintln!("bench: round {round} of {}", bench.runs);
        plain_cpu_s.push(plain_run(bench, &inputs)?);
        for (load, connections, runs) in &mut rounds {
            runs.push(loads[*load].run(bench, *connections)?);
        }
    }
    let plain_cpu_s = median(plain_cpu_s);
    let plain_lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    let plain = per_million(plain_cpu_s, plain_lines);
    let mut figures = vec![Figure::new("`run`, batches of 1,000: CPU", plain, "CPU-s / M events")];
    for (load, connections, runs) in &rounds {
        figures.extend(loads[*load].figures(*connections, runs, plain));
    }
    Ok(figures)
}

impl Load {
    fn new(text: &[u8], batch: usize, lines: u64) -> anyhow::Result<Self> {
        let mut oracle = Oracle::new();
        let (mut requests, mut start, mut end) = (Vec::new(), 0, 0);
        let mut taken = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n').take(lines as usize) {
            oracle.take(std::str::from_utf8(line)?.trim_end())?;
            end += line.len();
            taken += 1;
            if taken % batch == 0 {
                requests.push(start..end);
                start = end;
            }
        }
        if start < end {
            requests.push(start..end);
        }
        let expected = oracle.views().map(|view| view + "\n").collect();
        let text = text[..end].to_vec();
        Ok(Self { batch, text, requests, lines: taken as u64, distinct: oracle.distinct(), expected })
    }

    /// A new server takes it all; its CPU counts from its start to its end, as that of `run` does.
    fn run(&self, bench: &Bench, connections: usize) -> anyhow::Result<Run> {
        let scratch = bench.scratch()?;
        let server = Server::start(bench, scratch.path(), DEFINITION)?;
        let next = AtomicUsize::new(0);
        let meter = Meter::start();
        let taken = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..connections).map(|_| scope.spawn(|| self.send(&server, &next))).collect();
            let mut taken = Taken::default();
            for sender in senders {
                taken.add(sender.join().expect("a sender does not panic")?);
            }
            anyhow::Ok(taken)
        })?;
        let spent = meter.stop();
        ensure!((taken.received, taken.accepted) == (self.lines, self.distinct), "wrong counts: {taken:?}");
        let data = server.data.clone();
        let finished = server.stop()?;
        let mut command = Command::new(&bench.programs.millpond);
        let output = command.args(["view", "user-activity", "--data"]).arg(data).output()?;
        let right = output.status.success() && output.stdout == self.expected.as_bytes();
        ensure!(right, "wrong answer: the views are not the oracle's");
        Ok(Run { seconds: spent.seconds, cpu_s: finished.cpu_s, generator_cpu_s: spent.cpu_s })
    }

    fn send(&self, server: &Server, next: &AtomicUsize) -> anyhow::Result<Taken> {
        let mut connection = Connection::open(server.address)?;
        let mut taken = Taken::default();
        while let Some(request) = self.requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let body = &self.text[request.clone()];
            let events = body.iter().filter(|byte| **byte == b'\n').count() as u64;
            taken.add(Taken::of(&mut connection, NDJSON, body, events).context("sending events")?);
        }
        Ok(taken)
    }

    fn figures(&self, connections: usize, runs: &[Run], plain: f64) -> Vec<Figure> {
        let what = format!("`serve`, {connections} connection(s), batches of {}", count(self.batch as u64));
        let figure = |of: &str, value, unit| Figure::new(format!("{what}: {of}"), value, unit);
        let of = |value: fn(&Run) -> f64| median(runs.iter().map(value));
        let cpu = per_million(of(|run| run.cpu_s), self.lines);
        let mut figures = vec![
            figure("speed", self.lines as f64 / of(|run| run.seconds), "events/s"),
            figure("CPU", cpu, "CPU-s / M events"),
            figure("CPU of the generator", per_million(of(|run| run.generator_cpu_s), self.lines), "CPU-s / M events"),
        ];
        if self.batch == BATCH_EVENTS {
            figures.push(figure("CPU against `run`", cpu / plain, "×").at_most(RATIO_MAX));
        }
        figures
    }
}

/// `millpond run` on the whole file: its CPU.
fn plain_run(bench: &Bench, inputs: &Inputs) -> anyhow::Result<f64> {
    let scratch = bench.scratch()?;
    let (definition, data) = (scratch.path().join("join.toml"), scratch.path().join("data"));
    fs::write(&definition, DEFINITION)?;
    let mut command = Command::new(&bench.programs.millpond);
    command.arg("run").args([&definition, &inputs.delivered()]).arg("--data").arg(&data).arg("--json");
    command.args(["--batch", &BATCH_EVENTS.to_string(), "--now", &START_MS.to_string()]);
    Ok(process::run(&mut command)?.cpu_s)
}
