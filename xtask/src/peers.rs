//! `tests/peers`: clients that nobody here wrote, against a real server. Python and Node packages
//! are put into `target/peers`, and again only when their lists change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;

/// The scripts in `tests/peers`, quickest first.
const SCRIPTS: [&str; 3] = ["cloudevents_sdk.py", "changes.py", "openapi.py"];
/// What the pinned packages ask for.
const PYTHON_MIN: (u32, u32) = (3, 10);
const NODE_MIN: (u32, u32) = (20, 0);

/// Runs all of them, or the named ones.
pub(crate) fn check(chosen: &[String]) -> Result<()> {
    let unknown = chosen.iter().find(|name| !SCRIPTS.contains(&name.as_str()));
    if let Some(unknown) = unknown {
        bail!("there is no `{unknown}` in tests/peers; there are {}", SCRIPTS.join(", "));
    }
    let python = new_enough("python3", PYTHON_MIN, "Python", "python3 and python3-venv")?;
    new_enough("node", NODE_MIN, "Node", "nodejs and npm")?;
    cargo(&["build", "--package", "millpond", "--locked", "--quiet"])?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers");
    let target = target()?;
    let made = target.join("peers");
    fs::create_dir_all(&made)?;
    let python = venv(&python, &sources, &made)?;
    let follow = modules(&sources, &made)?;
    for script in SCRIPTS.iter().filter(|script| chosen.is_empty() || chosen.iter().any(|one| one == *script)) {
        let began = Instant::now();
        eprintln!("xtask: tests/peers/{script}");
        let status = Command::new(&python)
            .args(["-B", script])
            .current_dir(&sources)
            .env("MILLPOND", target.join("debug/millpond"))
            .env("FOLLOW", &follow)
            .status()?;
        ensure!(status.success(), "tests/peers/{script} failed; `cargo xtask peers {script}` runs it alone");
        eprintln!("xtask: tests/peers/{script} took {:.0} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The program, if it is there and new enough.
fn new_enough(program: &str, min: (u32, u32), name: &str, packages: &str) -> Result<PathBuf> {
    let wanted = format!("tests/peers needs {name} {}.{} or later: install {packages}", min.0, min.1);
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("there is no `{program}`. {wanted}"))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let version = said.trim_start_matches(|first: char| !first.is_ascii_digit());
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    ensure!(found >= min, "`{program} --version` says {said:?}. {wanted}");
    Ok(program.into())
}

fn target() -> Result<PathBuf> {
    // The binary of this crate lies in `debug` or `release` of it.
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("xtask is not run from a target folder")?;
    Ok(folder.to_owned())
}

/// The virtual environment's Python.
fn venv(python: &Path, sources: &Path, made: &Path) -> Result<PathBuf> {
    let (folder, list) = (made.join("venv"), sources.join("requirements.txt"));
    let own = folder.join("bin/python");
    if !is_current(&list, &folder) {
        let missing = "Python cannot make a virtual environment: install python3-venv";
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder)).context(missing)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&own).args(pip).arg(&list)).context("the packages of tests/peers cannot be installed")?;
        mark_current(&list, &folder)?;
    }
    Ok(own)
}

/// The script that needs them, beside the Node modules.
fn modules(sources: &Path, made: &Path) -> Result<PathBuf> {
    let folder = made.join("node");
    fs::create_dir_all(&folder)?;
    for name in ["package.json", "package-lock.json", "follow.mjs"] {
        fs::copy(sources.join(name), folder.join(name))?;
    }
    let list = sources.join("package-lock.json");
    if !is_current(&list, &folder) {
        let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(quiet).current_dir(&folder))
            .context("the Node packages of tests/peers cannot be installed: is npm there?")?;
        mark_current(&list, &folder)?;
    }
    Ok(folder.join("follow.mjs"))
}

/// Whether a folder was made from a list as it is now.
fn is_current(list: &Path, folder: &Path) -> bool {
    fs::read(list).ok().is_some_and(|now| fs::read(folder.join("made-from")).is_ok_and(|before| before == now))
}

fn mark_current(list: &Path, folder: &Path) -> Result<()> {
    fs::copy(list, folder.join("made-from"))?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", command.get_program().display());
    Ok(())
}
