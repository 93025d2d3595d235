//! `fuzz`: every parser on inputs that nobody thought of. The committed inputs are where each run
//! begins; what it finds beside them goes into `target/fuzz`, and stays there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::tools::{beside, processors, run, target};

/// What builds the targets. It asks for no nightly compiler as long as no sanitizer is wanted: all
/// code here is safe, so that there is nothing for one to find.
const CARGO_FUZZ: &str = "0.13.2";
/// The targets, and the words that help each.
const TARGETS: [(&str, Option<&str>); 13] = [
    ("event", Some("json")),
    ("envelope", Some("json")),
    ("definition", Some("definition")),
    ("condition", Some("condition")),
    ("number", Some("number")),
    ("state", Some("json")),
    ("log", None),
    ("store", None),
    ("items", Some("json")),
    ("payload", Some("payload")),
    ("http_body", Some("json")),
    ("input", Some("json")),
    ("query", Some("query")),
];
const SECONDS_DEFAULT: u64 = 60;
/// One input may take this long, in seconds, and this much memory.
const INPUT_SECONDS_MAX: u64 = 10;
const MEMORY_MB_MAX: u64 = 1024;
/// Of what is told about a find.
const REASON_LINES_MAX: usize = 30;

/// What is asked for.
#[derive(Debug)]
struct Asked {
    seconds: u64,
    seed: Option<u64>,
    targets: Vec<(&'static str, Option<&'static str>)>,
}

/// Runs all of them, or the named ones: `[--seconds N] [--seed N] [TARGET]…`. In 0 seconds, only
/// the committed inputs are gone through.
pub(crate) fn check(args: &[String]) -> Result<()> {
    let asked = asked(args)?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let made = target()?.join("fuzz");
    let built = build(&sources, &made, &asked)?;
    let fuzzed = beside(asked.targets.clone(), processors(), |one| fuzz(&sources, &made, &built, &asked, one));
    let failed: Vec<&str> = fuzzed.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    ensure!(failed.is_empty(), "an input was found that should not be, for {}", failed.join(", "));
    Ok(())
}

fn asked(args: &[String]) -> Result<Asked> {
    let mut asked = Asked { seconds: SECONDS_DEFAULT, seed: None, targets: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64> {
            let number = args.next().with_context(|| format!("`{arg}` needs a number"))?;
            number.parse().with_context(|| format!("`{arg} {number}` is no number"))
        };
        match arg.as_str() {
            "--seconds" => asked.seconds = number()?,
            "--seed" => asked.seed = Some(number()?),
            name => match TARGETS.iter().find(|(known, _)| known == &name) {
                Some(one) => asked.targets.push(*one),
                None => bail!("there is no `{name}` in fuzz; there are {}", TARGETS.map(|(name, _)| name).join(", ")),
            },
        }
    }
    if asked.targets.is_empty() {
        asked.targets = TARGETS.to_vec();
    }
    Ok(asked)
}

/// Builds what is asked for, and tells the folder of the programs.
fn build(sources: &Path, made: &Path, asked: &Asked) -> Result<PathBuf> {
    let tool = tool(made)?;
    let host = host()?;
    let began = Instant::now();
    // One call builds one target, or all.
    let all = asked.targets.len() == TARGETS.len();
    let some = asked.targets.iter().map(|(name, _)| Some(*name)).collect();
    let names: Vec<Option<&str>> = if all { vec![None] } else { some };
    for name in names {
        let mut build = Command::new(&tool);
        build.args(["fuzz", "build", "--sanitizer", "none", "--target", &host, "--fuzz-dir"]).arg(sources);
        build.arg("--target-dir").arg(made).args(name).current_dir(sources);
        run(&mut build).context("the fuzz targets cannot be built: is a C++ compiler there?")?;
    }
    eprintln!("xtask: fuzz targets built in {:.0} s", began.elapsed().as_secs_f64());
    Ok(made.join(host).join("release"))
}

/// cargo-fuzz: the machine's, if it is the right one, or one of our own.
fn tool(made: &Path) -> Result<PathBuf> {
    let is_right = |tool: &Path| {
        let said = Command::new(tool).args(["fuzz", "--version"]).stderr(Stdio::null()).output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).trim() == format!("cargo-fuzz {CARGO_FUZZ}"))
    };
    let root = made.join("tool");
    let own = root.join("bin/cargo-fuzz");
    let found = [PathBuf::from("cargo-fuzz"), own.clone()].into_iter().find(|tool| is_right(tool));
    if let Some(found) = found {
        return Ok(found);
    }
    eprintln!("xtask: installing cargo-fuzz {CARGO_FUZZ} into {}", root.display());
    let mut install = Command::new(env!("CARGO"));
    install.args(["install", "--quiet", "--locked", "--version", CARGO_FUZZ, "cargo-fuzz", "--root"]).arg(&root);
    run(install.env("CARGO_TARGET_DIR", root.join("target"))).context("cargo-fuzz cannot be installed")?;
    Ok(own)
}

/// The compiler's own platform.
fn host() -> Result<String> {
    let said = Command::new("rustc").arg("-vV").output().context("rustc cannot be run")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it builds for")?.to_owned())
}

/// Runs one target and prints its line; its name, if it found something.
fn fuzz(
    sources: &Path,
    made: &Path,
    built: &Path,
    asked: &Asked,
    (name, words): (&'static str, Option<&str>),
) -> Result<Option<&'static str>> {
    let (corpus, new, found) = (sources.join("corpus").join(name), made.join("new").join(name), made.join("found"));
    fs::create_dir_all(&new)?;
    fs::create_dir_all(&found)?;
    let program = built.join(name);
    let mut command = Command::new(&program);
    command
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .arg("-print_final_stats=1");
    match asked.seconds {
        0 => command.arg("-runs=0"),
        seconds => command.arg(format!("-max_total_time={seconds}")),
    };
    command.args(asked.seed.map(|seed| format!("-seed={seed}")));
    if let Some(words) = words {
        command.arg(format!("-dict={}", sources.join("dictionaries").join(format!("{words}.dict")).display()));
    }
    // New inputs go into the first folder.
    match asked.seconds {
        0 => command.arg(&corpus),
        _ => command.arg(&new).arg(&corpus),
    };
    let began = Instant::now();
    let output = command.output().with_context(|| format!("{} cannot be run", program.display()))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let seconds = began.elapsed().as_secs_f64();
    let mut line = format!("xtask: fuzz {name}: {}, {seconds:.0} s", Told::read(&told).shown());
    if output.status.success() {
        eprintln!("{line}, nothing found");
        return Ok(None);
    }
    let artifact = told.lines().rev().find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim()));
    match artifact {
        Some(input) => write!(line, ", FOUND {input}\n  again with: {} {input}", program.display())?,
        None => write!(line, ", FAILED: {}", output.status)?,
    }
    eprintln!("{line}\n{}", reason(&told));
    Ok(Some(name))
}

/// The part of the output that says what was wrong: from the panic on, or the end.
fn reason(told: &str) -> String {
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with("stat::")).collect();
    let panic = lines.iter().position(|line| line.contains("panicked at"));
    let start = panic.unwrap_or(lines.len().saturating_sub(REASON_LINES_MAX));
    lines[start..].iter().take(REASON_LINES_MAX).map(|line| format!("  {line}\n")).collect()
}

/// What libFuzzer says of a run.
#[derive(Debug, Default)]
struct Told<'t> {
    executions: &'t str,
    /// Edges that were passed, and what was seen of them, at the start and at the end.
    start: Option<(&'t str, &'t str)>,
    end: Option<(&'t str, &'t str)>,
}

impl<'t> Told<'t> {
    fn read(text: &'t str) -> Self {
        let mut told = Self::default();
        for line in text.lines() {
            if let Some(executions) = line.strip_prefix("stat::number_of_executed_units:") {
                told.executions = executions.trim();
            }
            let seen = word_after(line, "cov:").zip(word_after(line, "ft:"));
            if line.contains("INITED") {
                told.start = seen;
            }
            told.end = seen.or(told.end);
        }
        told
    }

    fn shown(&self) -> String {
        let seen = |seen: Option<(&str, &str)>| seen.map_or("?".to_owned(), |(edges, all)| format!("{edges}/{all}"));
        let executions = if self.executions.is_empty() { "?" } else { self.executions };
        format!("{executions} executions, edges/features {} to {}", seen(self.start), seen(self.end))
    }
}

fn word_after<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    line.split_once(name)?.1.split_whitespace().next()
}
