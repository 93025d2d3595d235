//! `tests/peers`: clients that nobody here wrote, against a real server. Python and Node packages
//! are put into `target/peers`, and again only when their lists change.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::tools::{NODE_MIN, modules, new_enough, programs, python, target, venv};

/// The scripts in `tests/peers`, quickest first.
const SCRIPTS: [&str; 3] = ["cloudevents_sdk.py", "changes.py", "openapi.py"];

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
    let follow = modules(&sources, &made.join("node"), "tests/peers")?.join("follow.mjs");
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
