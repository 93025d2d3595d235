//! `tests/aws`: the template and the commands, against a stand-in for AWS with the roles enforced.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::tools::{programs, python, run, target, venv};

/// The scripts in `tests/aws`.
const SCRIPTS: [&str; 2] = ["roles.py", "steps.py"];

/// Checks the template, and runs all scripts, or the named ones.
pub(crate) fn check(chosen: &[String]) -> Result<()> {
    if let Some(unknown) = chosen.iter().find(|name| !SCRIPTS.contains(&name.as_str())) {
        bail!("there is no `{unknown}` in tests/aws; there are {}", SCRIPTS.join(", "));
    }
    let python = python()?;
    programs()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sources = root.join("tests/aws");
    let target = target()?;
    let made = target.join("aws");
    fs::create_dir_all(&made)?;
    let python = venv(&python, &sources, &made)?;
    let tools = python.with_file_name("");
    run(Command::new(tools.join("cfn-lint"))
        .args(["--regions", "us-east-1", "--format", "parseable", "--"])
        .arg(root.join("deploy/aws/template.yaml")))?;
    for script in SCRIPTS.iter().filter(|script| chosen.is_empty() || chosen.iter().any(|one| one == *script)) {
        let began = Instant::now();
        eprintln!("xtask: tests/aws/{script}");
        let status = Command::new(&python)
            .args(["-B", script])
            .current_dir(&sources)
            .env("MILLPOND_AWS", target.join("debug/millpond-aws"))
            .status()?;
        ensure!(status.success(), "tests/aws/{script} failed; `cargo xtask aws {script}` runs it alone");
        eprintln!("xtask: tests/aws/{script} took {:.0} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}
