//! `tests/peers`: clients that nobody here wrote, against a real server. Python and Node packages
//! are put into `target/peers`, and again only when their lists change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::tools::{is_current, mark_current, new_enough, programs, python, run, target, venv};

/// The scripts in `tests/peers`, quickest first.
const SCRIPTS: [&str; 3] = ["cloudevents_sdk.py", "changes.py", "openapi.py"];
/// What the pinned packages ask for.
const NODE_MIN: (u32, u32) = (20, 0);

/// Runs all of them, or the named ones.
pub(crate) fn check(chosen: &[String]) -> Result<()> {
    let unknown = chosen.iter().find(|name| !SCRIPTS.contains(&name.as_str()));
    if let Some(unknown) = unknown {
        bail!("there is no `{unknown}` in tests/peers; there are {}", SCRIPTS.join(", "));
    }
    let python = python()?;
    new_enough("node", NODE_MIN, "Node", "nodejs and npm", "tests/peers")?;
    programs()?;
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
