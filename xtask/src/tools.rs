//! Tools of others, and folders that are made from lists of their packages.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use crate::cargo;

/// What the pinned packages ask for.
const PYTHON_MIN: (u32, u32) = (3, 10);
pub(crate) const NODE_MIN: (u32, u32) = (20, 0);

/// Builds the programs, as the tests do: alone they would have other features, and with them all that they build upon.
pub(crate) fn programs() -> Result<()> {
    cargo(&["test", "--workspace", "--locked", "--no-run", "--quiet"])
}

/// The machine's Python.
pub(crate) fn python() -> Result<PathBuf> {
    new_enough("python3", PYTHON_MIN, "Python", "python3 and python3-venv", "the test with clients of others")
}

/// The program, if it is there and new enough.
pub(crate) fn new_enough(program: &str, min: (u32, u32), name: &str, packages: &str, who: &str) -> Result<PathBuf> {
    let wanted = format!("{who} needs {name} {}.{} or later: install {packages}", min.0, min.1);
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("there is no `{program}`. {wanted}"))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let version = said.trim_start_matches(|first: char| !first.is_ascii_digit());
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    ensure!(found >= min, "`{program} --version` says {said:?}. {wanted}");
    Ok(program.into())
}

/// Does each of `jobs`, begun in their order, so many at the same time; what each gave.
pub(crate) fn beside<J: Send, T: Send>(
    jobs: impl IntoIterator<Item = J, IntoIter: Send>,
    at_once: usize,
    work: impl Fn(J) -> T + Sync,
) -> Vec<T> {
    let jobs = Mutex::new(jobs.into_iter());
    let next = || jobs.lock().ok()?.next();
    let worker = || std::iter::from_fn(next).map(&work).collect::<Vec<T>>();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

pub(crate) fn target() -> Result<PathBuf> {
    // The binary of this crate lies in `debug` or `release` of it.
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("xtask is not run from a target folder")?;
    Ok(folder.to_owned())
}

/// The Python of a virtual environment with the packages of a folder's list.
pub(crate) fn venv(python: &Path, sources: &Path, made: &Path) -> Result<PathBuf> {
    let (folder, list) = (made.join("venv"), sources.join("requirements.txt"));
    let own = folder.join("bin/python");
    if !is_current(&list, &folder) {
        let missing = "Python cannot make a virtual environment: install python3-venv";
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder)).context(missing)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&own).args(pip).arg(&list)).context("the Python packages cannot be installed")?;
        mark_current(&list, &folder)?;
    }
    Ok(own)
}

/// A folder with the Node modules of a folder's list, and all its files beside them.
pub(crate) fn modules(sources: &Path, folder: &Path, who: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(sources)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, folder.join(name))?;
        }
    }
    let list = sources.join("package-lock.json");
    if !is_current(&list, folder) {
        let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(quiet).current_dir(folder))
            .with_context(|| format!("the Node packages of {who} cannot be installed: is npm there?"))?;
        mark_current(&list, folder)?;
    }
    Ok(folder.to_owned())
}

/// Whether a folder was made from a list as it is now.
pub(crate) fn is_current(list: &Path, folder: &Path) -> bool {
    fs::read(list).ok().is_some_and(|now| fs::read(folder.join("made-from")).is_ok_and(|before| before == now))
}

pub(crate) fn mark_current(list: &Path, folder: &Path) -> Result<()> {
    fs::copy(list, folder.join("made-from"))?;
    Ok(())
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    ensure!(status.success(), "{} failed", command.get_program().display());
    Ok(())
}
