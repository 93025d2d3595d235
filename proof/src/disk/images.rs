//! The part `disk`: scripts are recorded, and each moment of them becomes crash images, which the
//! real store must open.

use std::env::{current_exe, temp_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use tempfile::TempDir;

use super::image::{Crash, Lost, TORN, image, unsynced_names};
use super::look::{caught, look};
use super::oracle::Expected;
use super::pool;
use super::record::{Op, Record, record, replay};
use super::script::{self, Step};
use crate::report::{Failure, Report};
use crate::scratch::scratch;

/// Steps of a script.
pub const STEPS: usize = 40;
/// Images of each moment of a run: one of a killed process, and three of a power cut.
const IMAGES_A_MOMENT: u64 = 4;
/// Images of a run, before the next run is recorded: many scripts show more than all of one.
const IMAGES_A_RUN: u64 = 4_000;
/// One image in so many is gone on with to the script's end.
const ONE_GOES_ON: u64 = 16;
/// Failures after which nothing more is looked for.
const FAILURES_MAX: usize = 20;

/// What is asked of this part.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How long to go on.
    pub seconds: u64,
    /// The first script's seed; the next one's is one more.
    pub seed: u64,
    /// Only this image.
    pub image: Option<u64>,
    /// A trace that was kept, instead of a new one: threads do not run twice in the same way.
    pub trace: Option<PathBuf>,
    /// Whether names last by POSIX alone.
    pub posix: bool,
    /// Whether one failure is enough.
    pub first: bool,
}

/// A recorded run, and what it must come to.
#[derive(Debug)]
struct Run {
    record: Record,
    expected: Expected,
    trace: PathBuf,
    /// Has the trace, and the folder.
    dir: TempDir,
    posix: bool,
    /// After so many operations, whether a part of the tables had a flush that the rest did not have.
    half_flushed: Vec<bool>,
}

/// What is done with an image when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    No,
    OneStep,
    ToTheEnd,
}

/// What became of an image.
struct Seen {
    image: u64,
    crash: Crash,
    lost: Lost,
    reached: Vec<String>,
    failure: Option<String>,
}

impl Run {
    fn new(asked: &Asked, seed: u64) -> Result<Self> {
        let (dir, expected) = (scratch()?, Expected::new(seed, STEPS));
        let trace = asked.trace.clone().unwrap_or_else(|| dir.path().join("trace"));
        let record = match &asked.trace {
            Some(trace) => replay(trace)?,
            None => record(&current_exe()?, &dir.path().join("data"), &trace, seed, STEPS)?,
        };
        if asked.trace.is_none() {
            let difference = record.tree().difference(&dir.path().join("data"))?;
            ensure!(difference.is_none(), "the recorder has missed something: {difference:?}");
        }
        let half_flushed = half_flushed(&record);
        Ok(Self { record, expected, trace, dir, posix: asked.posix, half_flushed })
    }

    fn images(&self) -> u64 {
        (self.record.ops.len() as u64 + 1) * IMAGES_A_MOMENT
    }

    /// Makes an image and looks at it.
    fn try_image(&self, number: u64) -> Seen {
        let moments = self.record.ops.len() + 1;
        let moment = spread(number / IMAGES_A_MOMENT, moments as u64) as usize;
        let crash = match (number % IMAGES_A_MOMENT, self.posix) {
            (0, false) => Crash::Killed,
            (_, false) => Crash::Journal,
            (_, true) => Crash::Posix,
        };
        let mut rng = Rng::with_seed(self.expected.seed << 32 ^ number);
        let (tree, lost) = image(&self.record.ops[..moment], crash, &mut rng);
        let is_torn = lost.get(TORN).is_some_and(|count| *count > 0);
        let goes_on = match () {
            () if number.is_multiple_of(ONE_GOES_ON + 1) => GoesOn::ToTheEnd,
            () if is_torn => GoesOn::OneStep,
            () => GoesOn::No,
        };
        let mut reached = Vec::new();
        let done = scratch().and_then(|dir| {
            let folder = dir.path().join("data");
            tree.write_to(&folder)?;
            self.look(&folder, moment, goes_on, &mut reached)
        });
        let failure = done.err().map(|error| format!("{} after {moment} operations: {error:#}", crash.name()));
        Seen { image: number, crash, lost, reached, failure }
    }

    fn look(&self, folder: &Path, moment: usize, goes_on: GoesOn, reached: &mut Vec<String>) -> Result<()> {
        let acked = acked(&self.record.ops[..moment]);
        let is_swapped = folder.join("disk.old").exists() || folder.join("disk.rebuild/MANIFEST").exists();
        let seen = look(folder, &self.expected, acked)?;
        let after = acked.unwrap_or(0);
        if seen.opened.torn.is_some() {
            reached.push("torn tail cut".to_owned());
        }
        if seen.opened.commits_replayed > 0 {
            let half = self.half_flushed[moment];
            reached.push(if half { "half flush replayed" } else { "replayed" }.to_owned());
        }
        if is_swapped {
            reached.push("rebuild resumed".to_owned());
        }
        if seen.steps > after {
            let is_erasure = matches!(self.expected.steps[after], Step::Erase(_));
            let what = if is_erasure { "erasure resumed" } else { "unacknowledged step is there" };
            reached.push(what.to_owned());
        }
        let under_way = self.expected.steps.get(after).map_or("closing", Step::name);
        reached.push(if acked.is_none() { "in making the store".to_owned() } else { format!("in {under_way}") });
        if goes_on == GoesOn::OneStep && after < STEPS {
            // What was cut off must be gone when more is written, and not only passed over.
            caught(|| script::run_one(folder, self.expected.seed, after, STEPS)).context("one step more")?;
            look(folder, &self.expected, Some(after + 1)).context("after one step more")?;
            reached.push("one step more after a torn write".to_owned());
        }
        if goes_on == GoesOn::ToTheEnd {
            caught(|| script::run(folder, self.expected.seed, after, STEPS, |_| Ok(()))).context("going on")?;
            look_at_end(folder, &self.expected).context("at the script's end")?;
            reached.push("gone on to the end".to_owned());
        }
        Ok(())
    }

    /// Keeps the trace, so that an image can be made again.
    fn replay(&self, image: u64) -> Result<String> {
        let seed = self.expected.seed;
        let kept = temp_dir().join(format!("millpond-disk-{seed}-{}.trace", std::process::id()));
        if self.trace.starts_with(self.dir.path()) && !kept.exists() {
            fs::copy(&self.trace, &kept)?;
        }
        let trace = if self.trace.starts_with(self.dir.path()) { &kept } else { &self.trace };
        let posix = if self.posix { " --posix" } else { "" };
        Ok(format!("millpond-proof disk --seed {seed} --image {image}{posix} --trace {}", trace.display()))
    }
}

/// A flush begins with a new segment, and ends with the table of marks, fjall's number 6.
fn half_flushed(record: &Record) -> Vec<bool> {
    let (mut flushing, mut half, mut after) = (false, false, vec![false]);
    for op in &record.ops {
        match op {
            Op::Make { name, .. } if name.ends_with(".log") => flushing = true,
            Op::Rename { to: (dir, name), .. } if name == "current" => {
                let is_last = record.paths[*dir].ends_with("/keyspaces/6");
                (flushing, half) = (flushing && !is_last, flushing && !is_last);
            }
            _ => {}
        }
        after.push(half);
    }
    after
}

/// All steps must be there, and nothing else.
///
/// # Errors
/// What is wrong.
pub fn look_at_end(folder: &Path, expected: &Expected) -> Result<()> {
    look(folder, expected, Some(expected.steps.len())).map(drop)
}

/// The last step that was acknowledged.
#[must_use]
pub fn acked(ops: &[Op]) -> Option<usize> {
    ops.iter().rev().find_map(|op| if let Op::Ack(step) = op { Some(*step) } else { None })
}

/// Every number below `of` once, far from the one before: so that a short run sees something of all.
#[must_use]
pub fn spread(index: u64, of: u64) -> u64 {
    let common = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let golden = (of as f64 * 0.618_033_988_75) as u64;
    let stride = (golden.max(1)..).find(|stride| common(*stride, of) == 1).unwrap_or(1);
    index % of * stride % of
}

/// Tries crash images for as long as was asked.
///
/// # Errors
/// If no script can be recorded, or there is no room for images.
pub fn crashes(asked: &Asked) -> Result<Report> {
    let mut report = Report::new(if asked.posix { "posix" } else { "disk" }, "images");
    let crashes = if asked.posix { &[Crash::Posix][..] } else { &[Crash::Killed, Crash::Journal] };
    crashes.iter().for_each(|crash| report.fired(crash.name(), 0));
    let mut end = None;
    std::panic::set_hook(Box::new(|_| {})); // they are caught, and told with the image
    for seed in asked.seed.. {
        let run = Arc::new(Run::new(asked, seed)?);
        let end = *end.get_or_insert_with(|| Instant::now() + Duration::from_secs(asked.seconds));
        report.reached("recorded operations", run.record.ops.len() as u64);
        report.reached("recorded scripts", 1);
        report.reached("images of the scripts", run.images());
        if asked.posix {
            let names = unsynced_names(&run.record);
            names.iter().for_each(|(kind, count)| report.reached(&format!("name never synced: {kind}"), *count));
        }
        let images = asked.image.map_or(0..run.images().min(IMAGES_A_RUN), |image| image..image + 1);
        let tried = Arc::clone(&run);
        let failures_max = if asked.first { 1 } else { FAILURES_MAX };
        let noted = |seen| {
            note(&run, seen, &mut report)?;
            Ok(report.failures.len() < failures_max)
        };
        pool::try_all(images, end, move |number| tried.try_image(number), noted)?;
        let enough = report.failures.len() >= failures_max || Instant::now() >= end;
        if enough || asked.image.is_some() || asked.trace.is_some() {
            break;
        }
    }
    Ok(report.timed())
}

/// Puts down what became of an image.
fn note(run: &Run, seen: Seen, report: &mut Report) -> Result<()> {
    report.runs += 1;
    report.reached("images tried", 1);
    report.fired(seen.crash.name(), 1);
    for (kind, count) in seen.lost {
        match kind {
            TORN => report.fired(kind, count),
            kind => report.reached(kind, count),
        }
    }
    seen.reached.iter().for_each(|state| report.reached(state, 1));
    if let Some(what) = seen.failure {
        report.failures.push(Failure { replay: run.replay(seen.image)?, what });
    }
    Ok(())
}
