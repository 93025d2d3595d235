//! What a part of the proof did: how much of it, what it met, and what it found.

use std::collections::BTreeMap;
use std::fs;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What a part did, as one line of JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The part's name.
    pub part: String,
    /// How many of its unit were tried.
    pub runs: u64,
    /// What it tries: seeds, images, states.
    pub unit: String,
    /// Faults that fired, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Interesting states that were reached, by name.
    pub reached: BTreeMap<String, u64>,
    /// What was found wrong.
    pub failures: Vec<Failure>,
    /// CPU time of the whole process, in seconds.
    pub cpu_seconds: f64,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The command that shows it again.
    pub replay: String,
    /// What is wrong, and the shortest history that shows it.
    pub what: String,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(part: &str, unit: &str) -> Self {
        Self { part: part.to_owned(), unit: unit.to_owned(), ..Self::default() }
    }

    /// Counts faults of a kind.
    pub fn fired(&mut self, kind: &str, count: u64) {
        add(&mut self.faults, kind, count);
    }

    /// Counts how often a state was reached.
    pub fn reached(&mut self, state: &str, count: u64) {
        add(&mut self.reached, state, count);
    }

    /// Prints it as one line of JSON, and ends the program: with 1 if something was found.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub fn print(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(self)?);
        std::process::exit(i32::from(!self.failures.is_empty()))
    }

    /// Puts down how long the process worked.
    #[must_use]
    pub fn timed(mut self) -> Self {
        self.cpu_seconds = cpu_seconds();
        self
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    match counts.get_mut(name) {
        Some(known) => *known += count,
        None => drop(counts.insert(name.to_owned(), count)),
    }
}

/// How long this process worked on all its threads, and its children that it waited for, in seconds.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9 + children_seconds().unwrap_or_default()
}

fn children_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may have spaces; two numbers of the children are the 14th and 15th after it.
    let (_, after) = stat.rsplit_once(')')?;
    let ticks: u64 = after.split_whitespace().skip(13).take(2).map(str::parse::<u64>).sum::<Result<_, _>>().ok()?;
    Some(ticks as f64 / clock_ticks_per_second() as f64)
}
