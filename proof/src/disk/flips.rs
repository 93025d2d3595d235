//! The part `flips`: one bit of a stored file is turned over, and the store must say so or be right
//! all the same.

use std::env::current_exe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::child::{TIME_MAX, output_in_time};
use super::image::{Crash, image, kind};
use super::images::{STEPS, acked};
use super::look::{Verdict, judge};
use super::oracle::Expected;
use super::pool;
use super::record::record;
use super::tree::Tree;
use crate::report::{Failure, Report};
use crate::scratch::scratch;

/// Flips of one recorded script.
const FLIPS_OF_A_RUN: u64 = 3_000;
/// The fault.
const TURNED: &str = "bit turned over";
const FAILURES_MAX: usize = 200;
/// How much memory a look may take: a length that was damaged must not ask for more.
const MEMORY_MAX: u64 = 4 << 30;
/// Bytes at a file's start and end that are tried as often as all between.
const EDGE: u64 = 64;
/// The kinds of files that have bytes in a store that was closed, or whose process was killed.
const KINDS: [&str; 10] = [
    "LOCK",
    "MANIFEST",
    "definition",
    "log segment",
    "current",
    "new current",
    "journal of the tables",
    "list of tables",
    "table",
    "version of the tables",
];

/// A folder to damage.
struct Base {
    name: &'static str,
    tree: Tree,
    acked: usize,
    /// Files by kind.
    files: Vec<(&'static str, Vec<PathBuf>)>,
}

impl Base {
    fn new(name: &'static str, tree: Tree, acked: usize) -> Self {
        let mut files: Vec<(&'static str, Vec<PathBuf>)> = Vec::new();
        for (path, content) in tree.files() {
            let kind = kind(path.to_str().unwrap_or_default());
            if content.is_empty() {
                continue;
            }
            match files.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, paths)) => paths.push(path),
                None => files.push((kind, vec![path])),
            }
        }
        Self { name, tree, acked, files }
    }
}

/// What became of a flip.
struct Seen {
    number: u64,
    base: &'static str,
    kind: &'static str,
    place: String,
    verdict: Result<Verdict>,
}

/// Folders of one script, and what must be in them.
struct Bases {
    seed: u64,
    bases: Vec<Base>,
}

impl Bases {
    fn new(seed: u64) -> Result<Self> {
        let dir = scratch()?;
        let record = record(&current_exe()?, &dir.path().join("data"), &dir.path().join("trace"), seed, STEPS)?;
        let mut rng = Rng::with_seed(seed);
        let acks = |ops: &[_]| acked(ops).unwrap_or(0);
        let mut bases = vec![Base::new("closed", record.tree(), STEPS)];
        let first = record.ops.iter().position(|op| acked(std::slice::from_ref(op)).is_some()).context("no ack")?;
        let last = record.ops.iter().rposition(|op| acked(std::slice::from_ref(op)).is_some()).context("no ack")?;
        for (name, moment) in
            [("killed at the end", last), ("killed", rng.usize(first..last)), ("killed", rng.usize(first..last))]
        {
            let ops = &record.ops[..=moment];
            bases.push(Base::new(name, image(ops, Crash::Killed, &mut rng).0, acks(ops)));
        }
        Ok(Self { seed, bases })
    }

    fn flip(&self, number: u64) -> Seen {
        let mut rng = Rng::with_seed(self.seed << 32 ^ number);
        let base = &self.bases[rng.usize(..self.bases.len())];
        let (kind, paths) = &base.files[rng.usize(..base.files.len())];
        let path = &paths[rng.usize(..paths.len())];
        let mut tree = base.tree.clone();
        let mut place = path.display().to_string();
        if let Some(found) = tree.find(0, &place)
            && let Some(file) = tree.file(found)
        {
            let len = file.written().max(1);
            let offset = match rng.u8(..3) {
                0 => rng.u64(..len.min(EDGE)),
                1 => len - 1 - rng.u64(..len.min(EDGE)),
                _ => rng.u64(..len),
            };
            let bit = rng.u8(..8);
            file.flip(offset, bit);
            place = format!("{place}, byte {offset} of {len}, bit {bit}");
        }
        let verdict = self.judged(&tree, base.acked);
        Seen { number, base: base.name, kind, place, verdict }
    }

    /// A damaged folder may make a process do anything: so it is one of its own.
    fn judged(&self, tree: &Tree, acked: usize) -> Result<Verdict> {
        let dir = scratch()?;
        let folder = dir.path().join("data");
        tree.write_to(&folder)?;
        let mut command = Command::new(current_exe()?);
        command.args(["disk-judge", "--seed", &self.seed.to_string(), "--acked", &acked.to_string(), "--dir"]);
        let child = command.arg(&folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let Some(output) = output_in_time(child)? else {
            return Ok(Verdict::Wrong(format!("it has no end within {} s", TIME_MAX.as_secs())));
        };
        let said = String::from_utf8_lossy(&output.stdout);
        match output.status.success() {
            true => serde_json::from_str(&said).with_context(|| format!("what is `{said}`?")),
            false => Ok(Verdict::Panicked(format!("the process died; it said `{said}`"))),
        }
    }
}

/// The child's side: judges a folder, and prints its verdict.
///
/// # Errors
/// If the limit of memory cannot be set.
pub fn print_verdict(dir: &Path, seed: u64, acked: usize) -> Result<()> {
    setrlimit(Resource::As, Rlimit { current: Some(MEMORY_MAX), maximum: Some(MEMORY_MAX) })?;
    std::panic::set_hook(Box::new(|_| {}));
    println!("{}", serde_json::to_string(&judge(dir, &Expected::new(seed, STEPS), acked))?);
    Ok(())
}

/// Flips bits for as long as was asked, or until the `first` failure; `flip`: only this one.
///
/// # Errors
/// If no script can be recorded, or no child started.
pub fn flips(seconds: u64, seed: u64, flip: Option<u64>, first: bool) -> Result<Report> {
    let failures_max = if first { 1 } else { FAILURES_MAX };
    let mut report = Report::new("flips", "flips");
    report.fired(TURNED, 0);
    KINDS.iter().for_each(|kind| report.reached(&bit_of(kind), 0));
    let mut end = None;
    for seed in seed.. {
        let bases = Arc::new(Bases::new(seed)?);
        let end = *end.get_or_insert_with(|| Instant::now() + Duration::from_secs(seconds));
        let numbers = flip.map_or(0..FLIPS_OF_A_RUN, |flip| flip..flip + 1);
        let tried = Arc::clone(&bases);
        let noted = |seen| {
            note(seed, seen, &mut report)?;
            Ok(report.failures.len() < failures_max)
        };
        pool::try_all(numbers, end, move |number| tried.flip(number), noted)?;
        if report.failures.len() >= failures_max || Instant::now() >= end || flip.is_some() {
            break;
        }
    }
    Ok(report.timed())
}

fn bit_of(kind: &str) -> String {
    format!("bit of {kind}")
}

fn note(seed: u64, seen: Seen, report: &mut Report) -> Result<()> {
    let Seen { number, base, kind, place, verdict } = seen;
    report.runs += 1;
    report.fired(TURNED, 1);
    report.reached(&bit_of(kind), 1);
    let (state, what) = match verdict? {
        Verdict::Right => (format!("{kind}: right all the same"), None),
        Verdict::Cut => (format!("{kind}: cut, and told"), None),
        Verdict::Told(by, _) => (format!("{kind}: told by {by}"), None),
        Verdict::Wrong(what) => (format!("{kind}: wrong"), Some(what)),
        Verdict::Panicked(what) => (format!("{kind}: panic"), Some(what)),
    };
    report.reached(&state, 1);
    if let Some(what) = what {
        let replay = format!("millpond-proof flips --seed {seed} --flip {number}");
        report.failures.push(Failure { replay, what: format!("{base}: {place}: {what}") });
    }
    Ok(())
}
