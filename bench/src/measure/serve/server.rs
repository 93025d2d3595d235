//! A real `millpond serve`, as its users start it, in a folder of its own.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::Bench;
use super::super::machine::{self, disk_bytes};
use super::super::process::{self, Finished};
use super::connection::Connection;

/// The line that says where it listens is not longer.
const READY_BYTES_MAX: usize = 4 << 10;

/// A running server; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Option<Child>,
    started: Instant,
    pub(super) address: SocketAddr,
    pub(super) data: PathBuf,
    said: PathBuf,
}

impl Server {
    /// Serves a definition from a folder with nothing in it, on a free port.
    pub(super) fn start(bench: &Bench, dir: &Path, definition: &str) -> anyhow::Result<Self> {
        let (file, data, said) = (dir.join("join.toml"), dir.join("data"), dir.join("serve.err"));
        fs::write(&file, definition)?;
        let mut command = Command::new(&bench.programs.millpond);
        command.arg("serve").arg(&file).arg("--data").arg(&data).args(["--listen", "127.0.0.1:0"]);
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&said)?).spawn();
        let child = child.with_context(|| format!("starting {command:?}"))?;
        let mut server = Self { child: Some(child), started, address: ([127, 0, 0, 1], 0).into(), data, said };
        server.address = server.ready().with_context(|| format!("starting {command:?}"))?;
        Ok(server)
    }

    /// Waits for the line that says where it listens. What follows stays in the pipe.
    fn ready(&mut self) -> anyhow::Result<SocketAddr> {
        let out = self.child.as_mut().and_then(|child| child.stdout.as_mut()).context("its output is piped")?;
        let mut line = Vec::new();
        let mut byte = [0];
        while line.last() != Some(&b'\n') && line.len() < READY_BYTES_MAX && out.read(&mut byte)? == 1 {
            line.push(byte[0]);
        }
        let line = String::from_utf8_lossy(&line);
        let address = line.trim_end().rsplit_once("//").and_then(|(_, address)| address.parse().ok());
        address.with_context(|| format!("it does not serve: {line}{}", self.said()))
    }

    /// What it said on standard error.
    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    fn pid(&self) -> String {
        self.child.as_ref().map_or_else(String::new, |child| child.id().to_string())
    }

    /// User and system time so far.
    pub(super) fn cpu_s(&self) -> anyhow::Result<f64> {
        process::cpu_so_far_s(&self.pid())
    }

    /// Resident memory.
    pub(super) fn rss_bytes(&self) -> anyhow::Result<u64> {
        machine::rss_bytes(&self.pid())
    }

    pub(super) fn disk_bytes(&self) -> anyhow::Result<u64> {
        disk_bytes(&self.data)
    }

    /// What it counts.
    pub(super) fn stats(&self) -> anyhow::Result<Value> {
        let mut connection = Connection::open(self.address)?;
        let answer = connection.get("/v1/joins/user-activity/stats", "")?;
        Ok(serde_json::from_slice(answer.expect(200)?)?)
    }

    /// Tells it to stop, and waits until all is on disk; it must end well.
    pub(super) fn stop(mut self) -> anyhow::Result<Finished> {
        let child = self.child.take().context("it runs")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        process::observe(child, self.started).with_context(|| format!("stopping: {}", self.said()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill(); // it may have ended
            let _ = child.wait();
        }
    }
}

/// What `verify` finds in a folder that nobody serves: keys and events, and no difference.
pub(super) fn verify(bench: &Bench, data: &Path) -> anyhow::Result<Value> {
    let mut command = Command::new(&bench.programs.millpond);
    let output = command.args(["verify", "user-activity", "--json", "--data"]).arg(data).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    let verified: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(verified["differences"] == 0, "wrong answer: {verified}");
    Ok(verified)
}
