//! The parts `faults` and `kills`: the script as a process of its own, in which one call of the
//! system fails, or kills it; then its folder is opened without faults.

use std::env::current_exe;
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use super::child::{TIME_MAX, output_in_time};
use super::images::{STEPS, look_at_end, spread};
use super::look::{Look, caught, look};
use super::oracle::Expected;
use super::script::Step;
use super::{pool, script};
use crate::report::{Failure, Report};
use crate::scratch::scratch;

/// A kind of fault, and the calls at which it may happen: names as `failing.c` has them.
type Kind = (&'static str, &'static [&'static str]);

/// The calls that change files.
const CALLS: &[&str] = &["write", "fdatasync", "fsync", "rename", "unlink", "open", "ftruncate", "mkdir"];
/// How they may fail, and which.
const FAULTS: [Kind; 4] = [
    ("EIO", CALLS),
    ("ENOSPC", &["write", "fsync", "rename", "open", "ftruncate", "mkdir"]),
    ("EMFILE", &["open"]),
    ("short write", &["write"]),
];
const KILLS: [Kind; 1] = [("killed", CALLS)];
const FAILURES_MAX: usize = 50;
/// One run in so many is gone on with to the script's end.
const ONE_GOES_ON: u64 = 4;
/// Runs of each script but the first, all of whose calls are tried if there is time: many scripts show more, and of few
/// runs each kind of fault has as many as the others, however many calls it may happen at.
const RUNS_OF_A_SCRIPT: u64 = 400;

/// Read by who opens folders, written by who starts children.
static FOLDERS: RwLock<()> = RwLock::new(());

/// What goes wrong in a run.
#[derive(Clone, Debug)]
struct Fault {
    kind: &'static str,
    /// The call.
    call: &'static str,
    /// The how manieth about the data folder.
    when: u64,
}

/// The library that has calls fail, and where it says what it did.
struct Failing {
    library: PathBuf,
    /// Has it.
    _dir: TempDir,
}

/// What was said of a run.
#[derive(Default)]
struct Watched {
    /// The path that the failing call was about.
    hit: Option<String>,
    /// What was done behind it.
    behind: Vec<Behind>,
    /// Calls about the data folder.
    counts: Vec<(String, u64)>,
}

/// What is done behind a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// A step was acknowledged.
    Ack(usize),
    /// The log got a new segment: the tables are next.
    Segment,
}

/// A script, and what can go wrong in it.
struct Runs {
    expected: Expected,
    failing: Arc<Failing>,
    /// All that can go wrong, in the order of trying.
    faults: Vec<Fault>,
    /// How long the script took without a fault.
    took: Duration,
}

/// What became of a run.
struct Seen {
    number: u64,
    fault: Fault,
    fired: bool,
    reached: Vec<String>,
    failure: Option<String>,
}

impl Failing {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (source, library) = (dir.path().join("failing.c"), dir.path().join("failing.so"));
        fs::write(&source, include_str!("failing.c"))?;
        let compiled = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
        let compiled = compiled.context("a C compiler is needed, and `cc` cannot be run")?;
        ensure!(compiled.status.success(), "cc: {}", said(&compiled));
        Ok(Self { library, _dir: dir })
    }

    /// The script as a child in a new folder, with a fault or none.
    ///
    /// # Errors
    /// If it cannot be run, or has no end.
    fn run(&self, folder: &Path, seed: u64, fault: Option<&Fault>) -> Result<(Output, Watched)> {
        let told = folder.with_extension("told");
        let (seed, steps) = (seed.to_string(), STEPS.to_string());
        let mut command = Command::new(current_exe()?);
        command.args(["disk-script", "--seed", &seed, "--steps", &steps, "--dir"]).arg(folder);
        let shown: [(&str, &OsStr); 4] = [
            ("LD_PRELOAD", self.library.as_os_str()),
            ("MILLPOND_FOLDER", folder.as_os_str()),
            ("MILLPOND_OUT", told.as_os_str()),
            ("RUST_BACKTRACE", OsStr::new("0")),
        ];
        command.envs(shown);
        if let Some(Fault { kind, call, when }) = fault {
            command.env("MILLPOND_HOW", kind).env("MILLPOND_CALL", call).env("MILLPOND_WHEN", when.to_string());
        }
        // A child has all open files until it runs its own program: also the lock of a folder that is opened again.
        let child = {
            let _nothing_is_open = FOLDERS.write().unwrap_or_else(PoisonError::into_inner);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("the script cannot be run")?
        };
        let output = output_in_time(child)?;
        let output = output.with_context(|| format!("it has no end within {} s", TIME_MAX.as_secs()))?;
        let watched = Watched::read(&fs::read_to_string(&told).context("nobody watched the script")?)?;
        Ok((output, watched))
    }
}

impl Watched {
    fn read(text: &str) -> Result<Self> {
        let mut watched = Self::default();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("hit"), Some(_), Some(path)) => watched.hit = Some(path.to_owned()),
                (Some("said"), _, Some(said)) => {
                    let step = said.strip_prefix("ack ").with_context(|| format!("the script said `{said}`"))?;
                    watched.behind.push(Behind::Ack(step.parse()?));
                }
                (Some("segment"), ..) => watched.behind.push(Behind::Segment),
                (Some("count"), Some(call), Some(count)) => watched.counts.push((call.to_owned(), count.parse()?)),
                _ => bail!("what is `{line}`?"),
            }
        }
        Ok(watched)
    }
}

impl Runs {
    fn new(failing: &Arc<Failing>, seed: u64, kinds: &[Kind]) -> Result<Self> {
        let (dir, began) = (scratch()?, Instant::now());
        let (clean, watched) = failing.run(&dir.path().join("data"), seed, None)?;
        ensure!(clean.status.success(), "the script fails without a fault: {}", said(&clean));
        let count_of =
            |call: &str| watched.counts.iter().find(|(counted, _)| counted == call).map_or(0, |(_, count)| *count);
        let of_call = |kind: &'static str, call: &'static str| -> Vec<Fault> {
            let count = count_of(call);
            (0..count).map(|index| Fault { kind, call, when: 1 + spread(index, count) }).collect()
        };
        let of_kind = |(kind, calls): &Kind| in_turn(calls.iter().map(|call| of_call(kind, call)).collect());
        let faults = in_turn(kinds.iter().map(of_kind).collect());
        let (expected, failing, took) = (Expected::new(seed, STEPS), Arc::clone(failing), began.elapsed());
        Ok(Self { expected, failing, faults, took })
    }

    /// All that can go wrong, if this is the first script and there is time for it before `end`; else some of it.
    fn numbers(&self, is_first: bool, end: Instant) -> Range<u64> {
        let all = self.faults.len() as u64;
        let left = end.saturating_duration_since(Instant::now()).as_secs_f64() * pool::cores() as f64;
        let has_time = self.took.as_secs_f64() * all as f64 <= left;
        if is_first && has_time { 0..all } else { 0..all.min(RUNS_OF_A_SCRIPT) }
    }

    fn try_fault(&self, number: u64) -> Seen {
        let fault = &self.faults[(number % self.faults.len() as u64) as usize];
        let mut seen = Seen { number, fault: fault.clone(), fired: false, reached: Vec::new(), failure: None };
        let done = self.with(fault, number, &mut seen);
        seen.failure = done.err().map(|error| format!("{fault:?}: {error:#}"));
        seen
    }

    /// How many steps were done when the fault fired.
    fn done_before(behind: &[Behind], acked: Option<usize>) -> usize {
        let first = behind.iter().find_map(|one| if let Behind::Ack(step) = one { Some(*step) } else { None });
        first.map_or(acked.unwrap_or(0), |first| first.saturating_sub(1))
    }

    /// Whether the step behind so many opens the store anew.
    fn opens(&self, after: usize) -> bool {
        matches!(self.expected.steps.get(after), Some(Step::Reopen | Step::Drop | Step::Rebuild(_)))
    }

    /// Whether the store is dropped, unheard, in the step behind so many or in the one after it: what the
    /// flusher does beside that one may fail when all that was asked of the store is done.
    fn is_dropped(&self, after: usize) -> bool {
        (after..=after + 1).any(|step| matches!(self.expected.steps.get(step), Some(Step::Drop) | None))
    }

    /// Whether a store went on to its tables, in a step before any that opens anew: a second time, since
    /// the first may have begun when what failed beside it was not yet known. The last time does not count of
    /// a store that is dropped: nobody hears what comes of it.
    fn flushes(&self, behind: &[Behind], done_before: usize) -> bool {
        let last = behind.iter().position(|one| matches!(one, Behind::Ack(number) if self.opens(*number)));
        let of_store = &behind[..last.unwrap_or(behind.len())];
        let is_dropped = last.is_some_and(
            |last| matches!(behind[last], Behind::Ack(number) if self.expected.steps.get(number) == Some(&Step::Drop)),
        );
        let flushes = of_store.iter().filter(|one| **one == Behind::Segment).count();
        !self.opens(done_before) && flushes > 1 + usize::from(is_dropped)
    }

    fn with(&self, fault: &Fault, number: u64, seen: &mut Seen) -> Result<()> {
        let dir = scratch()?;
        let folder = dir.path().join("data");
        let (output, watched) = self.failing.run(&folder, self.expected.seed, Some(fault))?;
        let acked = acked(&output)?;
        let killed = output.status.signal().is_some();
        // Threads do not always call as often: one that is past the last is never hit.
        let Some(hit) = &watched.hit else { return Ok(()) };
        seen.fired = true;
        ensure!(killed == (fault.kind == "killed"), "the process was killed, or it was not: {}", output.status);
        if !folder.exists() {
            return Ok(());
        }
        let is_of_tables = hit.contains("/keyspaces/");
        // What fjall cannot remove it lets lie, and removes when it is opened next.
        let is_left = fault.call == "unlink" && is_of_tables;
        // Fjall merges its list of tables right behind each change of it, and leaves it unmerged if that fails.
        let is_list = hit.contains("/keyspaces/0");
        let done_before = Self::done_before(&watched.behind, acked);
        // What cannot be read for a snapshot is read again, key by key.
        let is_read_again = fault.call == "open"
            && hit.contains("/tables/")
            && matches!(self.expected.steps.get(done_before), Some(Step::Upkeep));
        // Fjall's own journal, in which nothing of ours is, is synced once more where a store closes.
        let is_journal = fault.call == "fsync" && hit.ends_with(".jnl") && self.opens(done_before);
        // The flusher removes what the log has forgotten: a log that is opened meanwhile takes it back.
        let is_forgotten = match fault.call {
            "unlink" => hit.ends_with(".log") && self.is_dropped(done_before),
            // Its folder is opened to be synced.
            "fsync" | "open" => hit.ends_with("/log") && self.is_dropped(done_before),
            _ => false,
        };
        // A merge behind the last flush, or beside it, fails unnoticed, and nothing is built upon it.
        let is_last = is_of_tables && !self.flushes(&watched.behind, done_before);
        if !killed {
            let may_go_on = is_left || is_list || is_read_again || is_journal || is_forgotten || is_last;
            ensure!(
                may_go_on || !output.status.success(),
                "the script went on as if nothing was, after {hit} in step {}: {:?}",
                done_before + 1,
                watched.behind
            );
            ensure!(!said(&output).contains("panicked"), "it panicked after {hit}: {}", said(&output));
        }
        let _open = FOLDERS.read().unwrap_or_else(PoisonError::into_inner);
        let at = || format!("{hit}, after which the script said `{}`", said(&output).trim());
        let Look { steps, opened } = look(&folder, &self.expected, acked).with_context(at)?;
        let after = acked.unwrap_or(0);
        if is_left && output.status.success() {
            let left = folder.join(hit.trim_start_matches('/'));
            ensure!(!left.exists(), "what could not be removed is still there after the next opening: {hit}");
            seen.reached.push("file left behind until the next opening".to_owned());
        }
        if opened.torn.is_some() {
            seen.reached.push("torn tail cut".to_owned());
        }
        if opened.commits_replayed > 0 {
            seen.reached.push("replayed".to_owned());
        }
        if steps > after {
            seen.reached.push("unacknowledged step is there".to_owned());
        }
        if let Some(step) = self.expected.steps.get(after) {
            seen.reached.push(format!("in {}", step.name()));
        }
        if number.is_multiple_of(ONE_GOES_ON) {
            caught(|| script::run(&folder, self.expected.seed, after, STEPS, |_| Ok(()))).context("going on")?;
            look_at_end(&folder, &self.expected).context("at the script's end")?;
            seen.reached.push("gone on to the end".to_owned());
        }
        Ok(())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The last step that was acknowledged.
fn acked(output: &Output) -> Result<Option<usize>> {
    let text = std::str::from_utf8(&output.stdout)?;
    let Some(line) = text.lines().last() else { return Ok(None) };
    let Some(step) = line.strip_prefix("ack ") else { bail!("the script said `{line}`") };
    Ok(Some(step.parse()?))
}

/// The first of each list, then the second of each, and so on: what is rare comes as soon as what is not.
fn in_turn(lists: Vec<Vec<Fault>>) -> Vec<Fault> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or_default();
    (0..longest).flat_map(|index| lists.iter().filter_map(move |list| list.get(index).cloned())).collect()
}

/// What is asked of these parts.
#[derive(Clone, Debug, Args)]
pub struct Asked {
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first script's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this one.
    #[arg(long)]
    run: Option<u64>,
    /// Ends at the first failure.
    #[arg(long)]
    first: bool,
}

/// Lets calls fail for as long as was asked.
///
/// # Errors
/// If there is no C compiler, or the script fails without a fault.
pub fn faults(asked: &Asked) -> Result<Report> {
    try_kinds("faults", &FAULTS, asked)
}

/// Lets calls kill the script for as long as was asked.
///
/// # Errors
/// As [`faults`].
pub fn kills(asked: &Asked) -> Result<Report> {
    try_kinds("kills", &KILLS, asked)
}

fn try_kinds(part: &str, kinds: &[Kind], asked: &Asked) -> Result<Report> {
    let mut report = Report::new(part, "runs");
    for (kind, calls) in kinds {
        report.fired(kind, 0);
        calls.iter().for_each(|call| report.reached(&format!("{kind} at {call}"), 0));
    }
    let failures_max = if asked.first { 1 } else { FAILURES_MAX };
    let failing = Arc::new(Failing::new()?);
    std::panic::set_hook(Box::new(|_| {})); // they are caught, and told with the run
    let mut end = None;
    for seed in asked.seed.. {
        let runs = Arc::new(Runs::new(&failing, seed, kinds)?);
        let end = *end.get_or_insert_with(|| Instant::now() + Duration::from_secs(asked.seconds));
        report.reached("calls of the scripts, each by each fault", runs.faults.len() as u64);
        let numbers = asked.run.map_or_else(|| runs.numbers(seed == asked.seed, end), |run| run..run + 1);
        let replay = |number: u64| format!("millpond-proof {part} --seed {seed} --run {number}");
        let noted = |seen| {
            note(seen, replay, &mut report);
            Ok(report.failures.len() < failures_max)
        };
        pool::try_all(numbers, end, move |number| runs.try_fault(number), noted)?;
        if report.failures.len() >= failures_max || Instant::now() >= end || asked.run.is_some() {
            break;
        }
    }
    Ok(report.timed())
}

fn note(seen: Seen, replay: impl FnOnce(u64) -> String, report: &mut Report) {
    report.runs += 1;
    report.reached("calls tried", 1);
    let Fault { kind, call, .. } = seen.fault;
    report.fired(kind, u64::from(seen.fired));
    report.reached(&format!("{kind} at {call}"), u64::from(seen.fired));
    seen.reached.iter().for_each(|state| report.reached(state, 1));
    if let Some(what) = seen.failure {
        report.failures.push(Failure { replay: replay(seen.number), what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a script goes on to its tables that takes so many segments before the next step that
    /// opens anew, which is of that kind.
    fn flushes(segments: usize, opening: &Step) -> bool {
        let failing = Arc::new(Failing { library: PathBuf::new(), _dir: scratch().unwrap() });
        let runs = |seed| {
            let (failing, expected) = (Arc::clone(&failing), Expected::new(seed, STEPS));
            Runs { expected, failing, faults: Vec::new(), took: Duration::ZERO }
        };
        let found = (1..).map(runs).find_map(|runs| {
            let next = (1..STEPS).find(|next| runs.expected.steps[*next] == *opening && !runs.opens(next - 1))?;
            Some((runs, next))
        });
        let (runs, next) = found.expect("some script has it");
        let mut behind = vec![Behind::Segment; segments];
        behind.push(Behind::Ack(next));
        runs.flushes(&behind, next - 1)
    }

    /// The second flush failed while the store was dropped, which nobody can hear: it was told as a find,
    /// where the machine was slow enough.
    #[test]
    fn the_last_flush_of_a_store_that_is_dropped_is_not_asked_for() {
        assert!(!flushes(1, &Step::Reopen) && flushes(2, &Step::Reopen));
        assert!(!flushes(2, &Step::Drop) && flushes(3, &Step::Drop));
    }
}
