//! `tests/page`: a browser walks the page as a user would. Node packages are put into `target/page`, and again only when
//! their list changes; the browser is the machine's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::tools::{NODE_MIN, modules, new_enough, programs, run, target};

/// What Debian and others call the browser.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Walks every screen; `shots DIR` keeps pictures of them, `measure` tells how quick the page is instead.
pub(crate) fn check(args: &[String]) -> Result<()> {
    let (script, shots) = match args {
        [] => ("walk.test.mjs", None),
        [word, folder] if word == "shots" => ("walk.test.mjs", Some(std::path::absolute(folder)?)),
        [word] if word == "measure" => ("measure.mjs", None),
        _ => bail!("usage: cargo xtask page [shots DIR | measure]"),
    };
    let node = new_enough("node", NODE_MIN, "Node", "nodejs and npm", "tests/page")?;
    let browser = browser()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let target = target()?;
    let profile = if script == "measure.mjs" { "release" } else { "debug" };
    if profile == "debug" {
        programs()?;
    } else {
        let mut build = Command::new(env!("CARGO"));
        run(build.args(["build", "--release", "--locked", "--package", "millpond"]))?;
    }
    let folder = modules(&root.join("tests/page"), &target.join("page"), "tests/page")?;
    let began = Instant::now();
    eprintln!("xtask: tests/page/{script}");
    let mut walk = Command::new(node);
    if script.ends_with(".test.mjs") {
        walk.arg("--test-reporter=spec").arg("--test");
    }
    walk.arg(script).current_dir(&folder);
    walk.env("MILLPOND", target.join(profile).join("millpond")).env("CHROMIUM", browser);
    walk.env("EXAMPLE", root.join("examples/user-activity"));
    if let Some(shots) = shots {
        walk.env("SHOTS", shots);
    }
    ensure!(walk.status()?.success(), "tests/page/{script} failed; `cargo xtask page` runs it alone");
    eprintln!("xtask: tests/page/{script} took {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn browser() -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    let mut found = found.filter(|path| path.is_file());
    found.next().context("there is no Chromium: install the package chromium; tests/page walks the page with it")
}
