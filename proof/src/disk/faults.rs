//! The parts `faults` and `kills`: the script as a process of its own, in which one call of the
//! system fails, or kills it; then its folder is opened without faults.

use std::env::current_exe;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::images::{STEPS, look_at_end, scratch, spread};
use super::look::{Look, caught, look};
use super::oracle::Expected;
use super::script::Step;
use super::{pool, script};
use crate::report::{Failure, Report};

/// How calls that change files may fail, and which: names as `failing.c` has them.
const FAULTS: [(&str, &[&str]); 4] = [
    ("EIO", &["write", "fdatasync", "fsync", "rename", "unlink", "open", "ftruncate", "mkdir"]),
    ("ENOSPC", &["write", "fsync", "rename", "open", "ftruncate", "mkdir"]),
    ("EMFILE", &["open"]),
    ("short write", &["write"]),
];
const KILLS: [(&str, &[&str]); 1] =
    [("killed", &["write", "fdatasync", "fsync", "rename", "unlink", "open", "ftruncate", "mkdir"])];
const FAILURES_MAX: usize = 50;
/// One run in so many is gone on with to the script's end.
const ONE_GOES_ON: u64 = 4;
/// Runs of a script, before the next: many scripts show more than all of one.
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
    /// By kind.
    faults: Vec<Vec<Fault>>,
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
        let output = child.wait_with_output()?;
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
    fn new(failing: &Arc<Failing>, seed: u64, kinds: &[(&'static str, &[&'static str])]) -> Result<Self> {
        let dir = scratch()?;
        let (clean, watched) = failing.run(&dir.path().join("data"), seed, None)?;
        ensure!(clean.status.success(), "the script fails without a fault: {}", said(&clean));
        let faults = kinds.iter().map(|(kind, calls)| {
            let counts = watched.counts.iter().filter_map(|(counted, count)| {
                let call = calls.iter().find(|call| **call == counted)?;
                Some((*call, *count))
            });
            counts.flat_map(|(call, count)| (1..=count).map(move |when| Fault { kind, call, when })).collect()
        });
        Ok(Self { expected: Expected::new(seed, STEPS), failing: Arc::clone(failing), faults: faults.collect() })
    }

    fn try_fault(&self, number: u64) -> Seen {
        let (kinds, of_kind) = (self.faults.len() as u64, &self.faults[(number % self.faults.len() as u64) as usize]);
        let fault = &of_kind[spread(number / kinds, of_kind.len() as u64) as usize];
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
    /// the first may have begun when what failed beside it was not yet known.
    fn flushes(&self, behind: &[Behind], done_before: usize) -> bool {
        let same_store = |one: &&Behind| !matches!(one, Behind::Ack(number) if self.opens(*number));
        !self.opens(done_before)
            && behind.iter().take_while(same_store).filter(|one| **one == Behind::Segment).count() > 1
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
            "fsync" => hit.ends_with("/log") && self.is_dropped(done_before),
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

/// Lets calls fail, or kill, for as long as was asked; `run`: only this one.
///
/// # Errors
/// If there is no C compiler, or the script fails without a fault.
pub fn faults(seconds: u64, seed: u64, only: Option<u64>, kills: bool) -> Result<Report> {
    let (part, kinds) = if kills { ("kills", &KILLS[..]) } else { ("faults", &FAULTS[..]) };
    let mut report = Report::new(part, "runs");
    let end = Instant::now() + Duration::from_secs(seconds);
    let failing = Arc::new(Failing::new()?);
    std::panic::set_hook(Box::new(|_| {})); // they are caught, and told with the run
    for seed in seed.. {
        let runs = Arc::new(Runs::new(&failing, seed, kinds)?);
        let numbers = only.map_or(0..RUNS_OF_A_SCRIPT, |only| only..only + 1);
        let tried = Arc::clone(&runs);
        let replay = |number: u64| format!("millpond-proof {part} --seed {seed} --run {number}");
        pool::try_all(
            numbers,
            end,
            move |number| tried.try_fault(number),
            |seen| {
                note(seen, replay, &mut report);
                Ok(report.failures.len() < FAILURES_MAX)
            },
        )?;
        if report.failures.len() >= FAILURES_MAX || Instant::now() >= end || only.is_some() {
            break;
        }
    }
    Ok(report.timed())
}

fn note(seen: Seen, replay: impl FnOnce(u64) -> String, report: &mut Report) {
    report.runs += 1;
    let Fault { kind, call, .. } = seen.fault;
    report.fired(kind, u64::from(seen.fired));
    report.reached(&format!("{kind} at {call}"), u64::from(seen.fired));
    seen.reached.iter().for_each(|state| report.reached(state, 1));
    if let Some(what) = seen.failure {
        report.failures.push(Failure { replay: replay(seen.number), what });
    }
}
