//! The whole proof, for as long as there is time: every part of it, and one table at the end of what
//! was tried, which faults fired, what was reached and what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::scope;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::tools::{beside, processors, run, target};
use crate::{fuzz, planted, schedules};

/// From so many minutes on a run is a long one: of each fault, many must have fired.
const LONG_MINUTES: u64 = 60;
/// So many, in a long run.
const FIRED_MIN: u64 = 10_000;
/// And each of [`REACHED`] so often.
const REACHED_MIN: u64 = 100;
/// Schedules of each property of the threads, in a minute of the whole run.
const SCHEDULES_A_MINUTE: u64 = 100;

/// A part that is run as a program, for a share of the time.
struct Part {
    name: &'static str,
    program: &'static str,
    command: &'static str,
    flags: &'static [&'static str],
    /// In percent of the time of all processors: so that in an hour each kind of fault comes often enough. Those of all
    /// are a little over a hundred.
    share: u64,
}

/// As many at a time as there are processors, in this order: it lets none of them wait for the others at the end.
const PARTS: [Part; 8] = [
    Part { name: "functions", program: "millpond-proof-aws", command: "functions", flags: &["--twice"], share: 23 },
    Part { name: "drivers", program: "millpond-proof", command: "drivers", flags: &["--twice"], share: 3 },
    Part { name: "engine", program: "millpond-proof", command: "engine", flags: &["--twice"], share: 13 },
    Part { name: "faults", program: "millpond-proof", command: "faults", flags: &[], share: 42 },
    Part { name: "kills", program: "millpond-proof", command: "kills", flags: &[], share: 10 },
    Part { name: "disk", program: "millpond-proof", command: "disk", flags: &[], share: 10 },
    Part { name: "posix", program: "millpond-proof", command: "disk", flags: &["--posix"], share: 4 },
    Part { name: "flips", program: "millpond-proof", command: "flips", flags: &[], share: 4 },
];
/// Each fuzz target.
const FUZZ_SECONDS: u64 = 60;
/// Lives that a long run lives twice, to see that a seed is one life.
const TWICE_MIN: u64 = 10_000;

/// The scopes of the model: deliveries of each of three events, triggers, snapshotters, lost answers; redefinitions and
/// erasures.
const SCOPES: [(&str, &str); 2] = [("model", "111,2,1,1"), ("model-changes", "110,1,1,0,2,1")];
const SCOPES_LONG: [(&str, &str); 2] = [("model", "112,2,2,1"), ("model-changes", "110,2,1,0,2,1")];

/// What a disk and a kernel do, and what all lives together meet is said by themselves.
const FIRED: [&str; 9] = [
    "EIO",
    "EMFILE",
    "ENOSPC",
    "bit turned over",
    "killed",
    "power cut",
    "power cut, names by POSIX",
    "short write",
    "torn write",
];

/// What must have been reached, whatever else was.
const REACHED: [&str; 10] = [
    "fast",
    "refold",
    "conflict",
    "same id, other body",
    "late",
    "snapshot",
    "snapshot beside a trim",
    "rebuilt",
    "replayed",
    "torn tail cut",
];

#[derive(Deserialize)]
struct Report {
    part: String,
    runs: u64,
    unit: String,
    faults: BTreeMap<String, u64>,
    reached: BTreeMap<String, u64>,
    failures: Vec<Failure>,
    cpu_seconds: f64,
}

#[derive(Deserialize)]
struct Failure {
    replay: String,
    what: String,
}

/// Runs all of it: `[--minutes N]`; with `--short`, all but the search for planted bugs, which takes longer than
/// the rest.
pub(crate) fn check(args: &[String]) -> Result<()> {
    let (minutes, is_short) = match args {
        [] => (2, false),
        [flag] if flag == "--short" => (1, true),
        [flag, minutes] if flag == "--minutes" => {
            (minutes.parse().with_context(|| format!("`{minutes}` is no number"))?, false)
        }
        _ => bail!("usage: cargo xtask prove [--minutes N | --short]"),
    };
    let began = Instant::now();
    let programs = build()?;
    let seconds = minutes * 60 * processors() as u64;
    let is_long = minutes >= LONG_MINUTES;
    let program = |name: &str| Command::new(programs.join(name));
    // The model takes all processors for as long as it takes: beside it the parts would do less in their time.
    let models = if is_long { SCOPES_LONG } else { SCOPES }.map(|(name, scope)| {
        let mut model = program("millpond-proof");
        model.args(["model", "--scope", scope]);
        (name, model)
    });
    let (mut reports, mut wrong) = run_all(models.into(), 1);
    let jobs = PARTS.map(|Part { name, program: of, command: part, flags, share }| {
        let mut command = program(of);
        command.arg(part).args(["--seconds", &(seconds * share / 100).max(1).to_string()]).args(flags);
        (name, command)
    });
    let (more, silent) = run_all(jobs.into(), processors());
    reports.extend(more);
    wrong.extend(silent);
    wrong.extend(table(&reports, is_long));
    let mut also = |done: Result<()>| wrong.extend(done.err().map(|error| format!("{error:#}")));
    let schedules_of_each = (SCHEDULES_A_MINUTE * minutes).to_string();
    also(schedules::check(&["--iterations".to_owned(), schedules_of_each]));
    // Beside each other: most programs that are asked for a bug keep one processor busy.
    let (found, fuzzed) = scope(|scope| {
        let planted = scope.spawn(|| if is_short { Ok(()) } else { planted::check(&[]) });
        let fuzzed = fuzz::check(&["--seconds".to_owned(), FUZZ_SECONDS.to_string()]);
        (planted.join().unwrap_or_else(|_| Err(anyhow!("the search for planted bugs panicked"))), fuzzed)
    });
    also(found);
    also(fuzzed);
    eprintln!("xtask: prove took {:.0} min", began.elapsed().as_secs_f64() / 60.0);
    ensure!(wrong.is_empty(), "it does not hold:\n  {}", wrong.join("\n  "));
    Ok(())
}

fn build() -> Result<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = target()?;
    run(Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--profile", "proof", "--target-dir"])
        .arg(&target)
        .args(["--package", "millpond-proof", "--package", "millpond-proof-aws"])
        .current_dir(root))?;
    Ok(target.join("proof"))
}

/// So many at the same time; what they report, and what is wrong with those that do not.
fn run_all(jobs: Vec<(&str, Command)>, at_once: usize) -> (Vec<Report>, Vec<String>) {
    let (reports, silent): (Vec<_>, Vec<_>) =
        beside(jobs, at_once, |(name, command)| report(name, command)).into_iter().partition(Result::is_ok);
    let wrong = silent.into_iter().filter_map(|report| Some(format!("{:#}", report.err()?)));
    (reports.into_iter().filter_map(Result::ok).collect(), wrong.collect())
}

fn report(name: &str, mut command: Command) -> Result<Report> {
    let began = Instant::now();
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{name} cannot be run"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("xtask: {name} took {:.0} s", began.elapsed().as_secs_f64());
    let kept = target()?.join("prove");
    fs::create_dir_all(&kept)?;
    fs::write(kept.join(format!("{name}.json")), &*output.stdout)?;
    serde_json::from_str(text.trim()).with_context(|| format!("{name} said {text:?} and ended with {}", output.status))
}

/// Prints what was done; what is wrong.
fn table(reports: &[Report], is_long: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut text = String::new();
    let _ = writeln!(text, "{:10} {:>12} {:22} {:>6} {:>8}", "part", "tried", "of", "found", "CPU-s");
    for Report { part, runs, unit, failures, cpu_seconds, .. } in reports {
        let _ = writeln!(text, "{part:10} {runs:>12} {unit:22} {:>6} {cpu_seconds:>8.0}", failures.len());
        for Failure { replay, what } in failures {
            wrong.push(format!("{part}: {what}\n  again with: {replay}"));
        }
    }
    let fired = summed(reports, |report| &report.faults);
    let reached = summed(reports, |report| &report.reached);
    for (title, counts) in [("fault", &fired), ("reached", &reached)] {
        let _ = writeln!(text, "\n{title:44} {:>12}  by", "times");
        for (name, (count, parts)) in counts {
            let _ = writeln!(text, "{name:44} {count:>12}  {}", parts.join(", "));
        }
    }
    println!("{text}");
    let (least, reached_least) = if is_long { (FIRED_MIN, REACHED_MIN) } else { (1, 1) };
    let known = fired.keys().map(String::as_str).chain(FIRED).collect::<BTreeSet<_>>();
    for name in known {
        let count = fired.get(name).map_or(0, |(count, _)| *count);
        if count < least {
            wrong.push(format!("the fault `{name}` fired {count} times, and not {least}"));
        }
    }
    for Report { part, .. } in reports.iter().filter(|report| report.runs == 0) {
        wrong.push(format!("{part} tried nothing"));
    }
    let twice: u64 = reports.iter().filter(|report| report.unit.contains("twice")).map(|report| report.runs).sum();
    if is_long && twice < TWICE_MIN {
        wrong.push(format!("{twice} seeds were lived twice, and not {TWICE_MIN}"));
    }
    for name in REACHED {
        let count = reached.get(name).map_or(0, |(count, _)| *count);
        if count < reached_least {
            wrong.push(format!("`{name}` was reached {count} times, and not {reached_least}"));
        }
    }
    wrong
}

type Counts = BTreeMap<String, (u64, Vec<String>)>;

fn summed(reports: &[Report], counts: impl Fn(&Report) -> &BTreeMap<String, u64>) -> Counts {
    let mut sums = Counts::new();
    for report in reports {
        for (name, count) in counts(report) {
            let (sum, parts) = sums.entry(name.clone()).or_default();
            *sum += count;
            parts.push(report.part.clone());
        }
    }
    sums
}
