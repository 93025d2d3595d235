//! `crates/millpond-store/tests/schedules`: what threads share, under a scheduler that is told who goes on. It is built
//! with other locks, into `target/shuttle`, so that nothing else has to be built anew.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::tools::target;

/// Tries every property under its default of schedules, or under as many as asked for.
pub(crate) fn check(args: &[String]) -> Result<()> {
    let schedules = match args {
        [] => None,
        [option, number] if option == "--iterations" => {
            Some(number.parse::<usize>().with_context(|| format!("--iterations is a number, not `{number}`"))?)
        }
        _ => bail!("usage: cargo xtask schedules [--iterations N]"),
    };
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--quiet", "--locked", "--package", "millpond-store", "--test", "schedules"])
        .args(["--", "--nocapture"])
        .env("CARGO_TARGET_DIR", target()?.join("shuttle"))
        .env("RUSTFLAGS", "--cfg shuttle");
    if let Some(schedules) = schedules {
        command.env("MILLPOND_SCHEDULES", schedules.to_string());
    }
    eprintln!("xtask: schedules");
    let status = command.status()?;
    ensure!(
        status.success(),
        "a property does not hold under every schedule: `MILLPOND_SCHEDULE` with the schedule above repeats it"
    );
    eprintln!("xtask: schedules took {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
