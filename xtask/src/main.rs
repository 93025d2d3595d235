//! The project's own checks: `cargo xtask check` runs all of them and every test.
#![forbid(unsafe_code)]

mod aws;
mod dependencies;
mod fuzz;
mod page;
mod peers;
mod planted;
mod prove;
mod schedules;
mod tools;

use std::process::Command;

use anyhow::{Result, bail, ensure};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("check") => check(),
        Some("dependencies") => dependencies::check(),
        Some("aws") => aws::check(&args.collect::<Vec<_>>()),
        Some("page") => page::check(&args.collect::<Vec<_>>()),
        Some("peers") => peers::check(&args.collect::<Vec<_>>()),
        Some("planted") => planted::check(&args.collect::<Vec<_>>()),
        Some("prove") => prove::check(&args.collect::<Vec<_>>()),
        Some("schedules") => schedules::check(&args.collect::<Vec<_>>()),
        Some("fuzz") => fuzz::check(&args.collect::<Vec<_>>()),
        _ => bail!(
            "usage: cargo xtask check | dependencies | aws [SCRIPT]… | peers [SCRIPT]… | page [shots DIR | measure] | planted [--seconds N] [BUG]… | \
             schedules [--iterations N] | fuzz [--seconds N] [--seed N] [TARGET]… | \
             prove [--minutes N | --short]"
        ),
    }
}

/// What has to hold before a change is taken: format, lints, dependency rules, tests, a deployment,
/// what clients of others make of the server, a walk through the page, and a short form of the proof.
fn check() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    dependencies::check()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"])?;
    cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])?;
    aws::check(&[])?;
    peers::check(&[])?;
    page::check(&[])?;
    prove::check(&["--short".to_owned()])
}

fn cargo(args: &[&str]) -> Result<()> {
    eprintln!("xtask: cargo {}", args.join(" "));
    let status = Command::new(env!("CARGO")).args(args).status()?;
    ensure!(status.success(), "`cargo {}` failed", args.join(" "));
    Ok(())
}
