//! `millpond demo`: the user-activity example, served, with made-up events.

mod events;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use millpond_client::{Client, Retry, To};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use self::events::Events;
use super::clock;
use crate::cli::remote::Demo;
use crate::output::stdout;

const NAME: &str = "user-activity";
const DEFINITION: &str = include_str!("../../../../examples/user-activity/join.toml");
/// So that snapshots, trims and late events are seen within a minute, not weeks.
const HURRIED: [(&str, &str); 2] =
    [("lateness = \"7d\"", "lateness = \"20s\""), ("snapshot_every = 100", "snapshot_every = 20")];
/// How long a server that restarts, or is busy, is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn demo(args: &Demo) -> Result<ExitCode> {
    let own =
        tempfile::Builder::new().prefix("millpond-demo-").tempdir().context("cannot make a folder for the demo")?;
    let definition = own.path().join("join.toml");
    std::fs::write(&definition, definition_text()).with_context(|| format!("cannot write {}", definition.display()))?;
    let data = args.data.clone().unwrap_or_else(|| own.path().join("data"));
    let mut server = Server::start(args, &definition, &data)?;
    tell(&server.url, args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let trickled = runtime.block_on(trickle(args, &server.url));
    let stopped = server.stop();
    trickled.and(stopped)
}

fn definition_text() -> String {
    HURRIED.iter().fold(DEFINITION.to_owned(), |text, (usual, hurried)| text.replace(usual, hurried))
}

/// `millpond serve`, as anybody would start it.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(args: &Demo, definition: &Path, data: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find millpond's own program")?;
        let mut command = Command::new(program);
        command.arg("serve").arg(definition).arg("--data").arg(data).arg("--listen").arg(args.listen.to_string());
        command.arg("--try-it").arg(NAME);
        if std::env::var_os("MILLPOND_LOG").is_none() {
            command.env("MILLPOND_LOG", "warn");
        }
        // A group of its own: Ctrl-C is for the demo, which then stops the server.
        let process = command.stdout(Stdio::piped()).stdin(Stdio::null()).process_group(0).spawn();
        let mut server = Self { process: process.context("cannot start the server")?, url: String::new() };
        let mut said = String::new();
        if let Some(out) = server.process.stdout.take() {
            BufReader::new(out).read_line(&mut said)?;
        }
        match said.trim().rsplit_once(" on ") {
            Some((_, url)) => url.clone_into(&mut server.url),
            None => bail!("the server did not start; it says above why"),
        }
        Ok(server)
    }

    fn stop(&mut self) -> Result<ExitCode> {
        self.tell_to_stop();
        let status = self.process.wait().context("the server cannot be waited for")?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(ExitCode::SUCCESS)
    }

    fn tell_to_stop(&self) {
        if let Some(id) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            // If it is gone already, waiting for it tells how.
            let _ = kill_process(id, Signal::TERM);
        }
    }
}

impl Drop for Server {
    /// After a failure: no server is left behind.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.tell_to_stop();
            let _ = self.process.wait();
        }
    }
}

fn tell(url: &str, args: &Demo) -> Result<()> {
    let mut out = stdout();
    writeln!(out, "Look: {url}/")?;
    writeln!(out, "millpond demo: {NAME} on {url}, {} made-up events a second; Ctrl-C stops it", args.rate)?;
    writeln!(out, "Users are created, log in and order; some events come twice, out of order, late, or broken. Try:")?;
    writeln!(out, "  curl '{url}/v1/views/{NAME}?limit=3'")?;
    writeln!(out, "  curl '{url}/v1/views/{NAME}/user-1?explain=true'")?;
    writeln!(out, "  curl -N '{url}/v1/changes/{NAME}'")?;
    Ok(out.flush()?)
}

/// Gives one event after the other until the demo is told to stop.
async fn trickle(args: &Demo, url: &str) -> Result<()> {
    let client = Client::builder(url).retry(Retry::for_up_to(PATIENCE)).build()?;
    let to = To::Join(NAME.to_owned());
    let mut events = Events::new(args.seed, clock());
    let mut beat = tokio::time::interval(Duration::from_secs(1) / args.rate);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let giving = async {
        loop {
            beat.tick().await;
            client.put_ndjson(&to, events.next(clock())).await?;
        }
    };
    tokio::select! {
        failed = giving => failed,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_definition_is_the_examples_but_hurried() {
        let join = millpond_core::Join::parse(&definition_text()).expect("it is valid");
        assert_eq!((join.name(), join.lateness_ms(), join.snapshot_every()), (NAME, 20_000, 20));
    }
}
