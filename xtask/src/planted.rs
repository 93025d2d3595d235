//! Planted bugs: a copy of the sources with all bugs of `proof/planted.toml` in it, each behind a
//! switch; and the parts of the proof, asked one after the other whether they find it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::tools::{run, target};

/// CPU time in which a bug must be found, if nobody says.
const SECONDS_MAX: u64 = 600;

/// Where the packages lie in the copy.
const PLACE: &str = "garden";

/// The switch, which only the copy has: a bug's name in the environment.
const SWITCH: &str = r#"
/// Whether a planted bug is switched on.
#[must_use]
pub fn planted(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("MILLPOND_PLANTED").ok()).as_deref() == Some(name)
}
"#;

#[derive(Deserialize)]
struct Garden {
    bug: Vec<Bug>,
}

#[derive(Deserialize)]
struct Bug {
    name: String,
    what: String,
    by: String,
    /// Of [`SCHEDULES`]: the test that is asked, and no other.
    test: Option<String>,
    file: String,
    find: String,
    bent: String,
}

impl Garden {
    fn read(root: &Path) -> Result<Self> {
        Ok(toml::from_str(&fs::read_to_string(root.join("proof/planted.toml"))?)?)
    }
}

/// Who found a bug, and how.
struct Found {
    part: &'static str,
    runs: u64,
    seconds: f64,
}

/// A part of the proof that looks for bugs.
struct Part {
    name: &'static str,
    program: &'static str,
    flags: &'static [&'static str],
}

const PARTS: [Part; 9] = [
    Part { name: "drivers", program: "millpond-proof-planted", flags: &["--unshrunk"] },
    Part { name: "engine", program: "millpond-proof-planted", flags: &["--unshrunk"] },
    Part { name: "disk", program: "millpond-proof-planted", flags: &["--first"] },
    Part { name: POSIX, program: "millpond-proof-planted", flags: &["--posix", "--first"] },
    Part { name: "flips", program: "millpond-proof-planted", flags: &["--first"] },
    Part { name: "faults", program: "millpond-proof-planted", flags: &["--first"] },
    Part { name: "kills", program: "millpond-proof-planted", flags: &["--first"] },
    Part { name: "functions", program: "millpond-proof-aws-planted", flags: &["--unshrunk"] },
    Part { name: SCHEDULES, program: "schedules", flags: &["--test-threads", "1", "--nocapture"] },
];

/// The part `disk`, on file systems that keep no order of names.
const POSIX: &str = "posix";
/// The part whose program is a test.
const SCHEDULES: &str = "schedules";
/// Schedules of each property that are tried first.
const SCHEDULES_FIRST: u64 = 25;

/// Plants all bugs, or the named ones, and has each looked for.
pub(crate) fn check(args: &[String]) -> Result<()> {
    let (seconds, chosen) = match args {
        [flag, seconds, chosen @ ..] if flag == "--seconds" => (seconds.parse()?, chosen),
        chosen => (SECONDS_MAX, chosen),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let garden = Garden::read(&root)?;
    if let Some(unknown) = chosen.iter().find(|name| garden.bug.iter().all(|bug| bug.name != **name)) {
        bail!("there is no planted bug `{unknown}`");
    }
    let programs = planted(&root, &garden)?;
    // Without any, nothing is found: or the proof would find fault with everything.
    for part in &PARTS {
        let (is_found, ..) = looked_for(&programs, part, "", None, 5)?;
        ensure!(!is_found, "{} finds fault with what nobody planted", part.name);
    }
    println!("{:26} {:10} {:>6} {:>8}  what was bent", "planted bug", "found by", "seeds", "CPU-s");
    let mut missed = Vec::new();
    for bug in garden.bug.iter().filter(|bug| chosen.is_empty() || chosen.contains(&bug.name)) {
        match found(&programs, bug, seconds)? {
            Some(Found { part, runs, seconds, .. }) => {
                println!("{:26} {part:10} {runs:>6} {seconds:>8.1}  {}", bug.name, bug.what);
            }
            None => {
                println!("{:26} {:10} {:>6} {:>8}  {}", bug.name, "NOBODY", "", "", bug.what);
                missed.push(&*bug.name);
            }
        }
    }
    ensure!(missed.is_empty(), "nobody found {}", missed.join(", "));
    Ok(())
}

/// Asks the part that should know, then all others.
fn found(programs: &Path, bug: &Bug, seconds_max: u64) -> Result<Option<Found>> {
    ensure!(PARTS.iter().any(|part| part.name == bug.by), "`{}`: there is no part `{}`", bug.name, bug.by);
    let (first, others): (Vec<&Part>, Vec<&Part>) = PARTS.iter().partition(|part| part.name == bug.by);
    let mut spent = 0.0;
    for part in first.into_iter().chain(others) {
        let seconds = (seconds_max as f64 - spent) / 2.0;
        let (is_found, runs, cpu_seconds) = looked_for(programs, part, &bug.name, bug.test.as_deref(), seconds as u64)?;
        spent += cpu_seconds;
        if is_found && spent <= seconds_max as f64 {
            return Ok(Some(Found { part: part.name, runs, seconds: spent }));
        }
    }
    Ok(None)
}

/// Has a part look for a bug for so many seconds: whether it found it, in how many runs and CPU-seconds.
fn looked_for(programs: &Path, part: &Part, bug: &str, test: Option<&str>, seconds: u64) -> Result<(bool, u64, f64)> {
    #[derive(Deserialize)]
    struct Report {
        runs: u64,
        cpu_seconds: f64,
        failures: Vec<serde_json::Value>,
    }
    if part.name == SCHEDULES {
        return under_schedules(programs, part, bug, test, seconds);
    }
    let output = Command::new(programs.join(part.program))
        .args([if part.name == POSIX { "disk" } else { part.name }, "--seconds", &seconds.to_string()])
        .args(part.flags)
        .env("MILLPOND_PLANTED", bug)
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let report: Report = serde_json::from_str(text.trim())
        .with_context(|| format!("{} with `{bug}` said {text:?} and ended with {}", part.name, output.status))?;
    Ok((!report.failures.is_empty(), report.runs, report.cpu_seconds))
}

/// Looks under few schedules first, and under twice as many each time nothing is found. A test does not say what it
/// took: one that uses one thread took the time that went by.
fn under_schedules(
    programs: &Path,
    part: &Part,
    bug: &str,
    test: Option<&str>,
    seconds: u64,
) -> Result<(bool, u64, f64)> {
    let began = Instant::now();
    let (mut tried, mut of_each) = (0, SCHEDULES_FIRST);
    loop {
        let output = Command::new(programs.join(part.program))
            .args(part.flags)
            .args(test.map(|test| [test, "--exact"]).into_iter().flatten())
            .env("MILLPOND_PLANTED", bug)
            .env("MILLPOND_SCHEDULES", of_each.to_string())
            // The same each time, and others in each round.
            .env("MILLPOND_SEED", of_each.to_string())
            .env("RUST_BACKTRACE", "0")
            .stderr(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(text.contains("test result"), "{} with `{bug}` said {text:?}", part.name);
        // `…: held under N schedules, …`, or `FAILED in the last of N schedules`
        let counts =
            text.lines().filter_map(|line| line.split_once(" schedules, ")?.0.rsplit(' ').next()?.parse::<u64>().ok());
        let of_round = counts.sum::<u64>();
        ensure!(of_round > 0, "{} with `{bug}` tried nothing and said {text:?}", part.name);
        tried += of_round;
        let spent = began.elapsed().as_secs_f64();
        if !output.status.success() || spent >= seconds as f64 / 2.0 {
            return Ok((!output.status.success(), tried, spent));
        }
        of_each *= 2;
    }
}

/// Makes the copy, and builds its programs; the folder they are in.
fn planted(root: &Path, garden: &Garden) -> Result<PathBuf> {
    let target = target()?;
    let copy = target.join("planted");
    let mut list = Command::new("git");
    // Whoever owns the folder: nothing but names is asked for.
    list.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    let listed = list.output().context("git cannot be run")?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let Ok(mut bytes) = fs::read(root.join(name)) else { continue }; // deleted, and not yet committed
        if name.starts_with("fuzz/") {
            continue;
        }
        if name.ends_with(".rs") || name.ends_with(".toml") {
            bytes = bent(name, String::from_utf8(bytes)?, garden)?.into_bytes();
        }
        // The packages lie in another place than those that have no bugs: cargo tells them apart by it.
        let path = if name.contains('/') { copy.join(PLACE).join(name) } else { copy.join(name) };
        // What is the same is left alone, so that it is not built again.
        if fs::read(&path).is_ok_and(|before| before == bytes) {
            continue;
        }
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(path, bytes)?;
    }
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "proof", "--target-dir"])
        .arg(&target)
        .args(["--package", "millpond-proof", "--package", "millpond-proof-aws"])
        .current_dir(&copy))?;
    let mut schedules = Command::new(env!("CARGO"));
    schedules
        .args(["test", "--quiet", "--no-run", "--message-format", "json", "--package", "millpond-store"])
        .args(["--test", SCHEDULES, "--target-dir"])
        .arg(target.join("shuttle"))
        .env("RUSTFLAGS", "--cfg shuttle")
        .current_dir(&copy);
    let built = schedules.stderr(Stdio::inherit()).output().context("cargo cannot be run")?;
    ensure!(built.status.success(), "the planted schedules cannot be built");
    let programs = target.join("proof");
    fs::copy(test_program(&built.stdout)?, programs.join(SCHEDULES))?;
    Ok(programs)
}

/// The program of the test that cargo has built.
fn test_program(messages: &[u8]) -> Result<PathBuf> {
    let messages = serde_json::Deserializer::from_slice(messages).into_iter::<serde_json::Value>();
    let paths = messages.filter_map(|message| message.ok()?["executable"].as_str().map(PathBuf::from));
    paths.last().context("cargo names no program")
}

/// A package whose program has another name.
fn renamed(text: &str, program: &str) -> String {
    let text = text.replacen("[package]", "[package]\nautobins = false", 1);
    format!("{text}\n[[bin]]\nname = \"{program}-planted\"\npath = \"src/main.rs\"\n")
}

/// A file of the copy.
fn bent(name: &str, mut text: String, garden: &Garden) -> Result<String> {
    match name {
        "Cargo.toml" => {
            text = text
                .replace("\"crates/", &format!("\"{PLACE}/crates/"))
                .replace("\"proof", &format!("\"{PLACE}/proof"));
            // What is bent need not look well.
            text = text.replace("[workspace.lints.rust]", "[workspace.lints.rust]\nunused_parens = \"allow\"");
            for other in ["\"xtask\", ", "\"bench\", ", "\"bench/aws\", "] {
                text = text.replace(other, "");
            }
        }
        "crates/millpond-core/src/lib.rs" => text.push_str(SWITCH),
        // The programs lie beside those that have no bugs.
        "proof/Cargo.toml" => text = renamed(&text, "millpond-proof"),
        "proof/aws/Cargo.toml" => text = renamed(&text, "millpond-proof-aws"),
        _ => {}
    }
    let path = if name.starts_with("crates/millpond-core/") { "crate" } else { "millpond_core" };
    // Two bugs may bend the same line: the later one bends what the earlier one left.
    let mut places: BTreeMap<&str, Vec<&Bug>> = BTreeMap::new();
    garden.bug.iter().filter(|bug| bug.file == name).for_each(|bug| places.entry(&bug.find).or_default().push(bug));
    for (find, bugs) in places {
        let count = text.matches(find).count();
        ensure!(count == 1, "{name} has the line of the planted bug `{}` {count} times, and not once", bugs[0].name);
        let bent = |bug: &Bug| bug.bent.replace("PLANTED", &format!("{path}::planted(\"{}\")", bug.name));
        let [only] = bugs[..] else {
            let choices =
                bugs.iter().map(|bug| format!("if {path}::planted(\"{}\") {{ {} }} else ", bug.name, bent(bug)));
            text = text.replace(find, &format!("({}{{ {find} }})", choices.collect::<String>()));
            continue;
        };
        text = text.replace(find, &bent(only));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that are bent change; a bug that no longer fits anywhere would be found missing an hour later.
    #[test]
    fn every_bug_can_be_planted_and_is_asked_of_a_part() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let garden = Garden::read(&root).unwrap();
        for Bug { name, by, test, file, .. } in &garden.bug {
            assert!(PARTS.iter().any(|part| part.name == by), "{name}: there is no part {by}");
            assert_eq!(test.is_some(), by == SCHEDULES, "{name}: schedules have tests");
            if let Some(test) = test {
                let (module, test) = test.split_once("::").unwrap();
                let path = root.join(format!("crates/millpond-store/tests/schedules/{module}.rs"));
                let tests = fs::read_to_string(path).unwrap();
                assert!(tests.contains(&format!("#[test]\nfn {test}() {{")), "{name}: {module} has no test {test}");
            }
            let text = fs::read_to_string(root.join(file)).unwrap();
            let planted = bent(file, text.clone(), &garden).unwrap();
            assert!(planted.contains(&format!("planted(\"{name}\")")) && planted != text, "{name}");
        }
    }
}
