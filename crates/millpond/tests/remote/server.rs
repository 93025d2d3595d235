//! A server of a home's data folder: the real binary, on a port of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::Home;

pub(crate) struct Server {
    process: Child,
    _out: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl Server {
    /// Serves the home's join from the folder `served`.
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_with(home, "")
    }

    /// The same, with further arguments.
    pub(crate) fn start_with(home: &Home, arguments: &str) -> Self {
        Self::listening(home, &format!("127.0.0.1:0 {arguments}"))
    }

    /// The same at an address that a server had before.
    pub(crate) fn again(home: &Home, url: &str) -> Self {
        Self::listening(home, url.trim_start_matches("http://"))
    }

    fn listening(home: &Home, address: &str) -> Self {
        let line = format!("serve join.toml --data served --no-upkeep --listen {address}");
        let mut command = home.command(&line);
        let mut process = command.env("MILLPOND_LOG", "warn").stdout(Stdio::piped()).spawn().unwrap();
        let (out, said) = first_line(&mut process);
        let (_, url) = said.trim().rsplit_once(" on ").unwrap_or_else(|| panic!("`{line}` said {said:?}"));
        Self { process, _out: out, url: url.to_owned() }
    }

    /// As a crash would.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn stop(mut self) {
        tell(&self.process, Signal::TERM);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first line that a process prints.
pub(crate) fn first_line(process: &mut Child) -> (BufReader<ChildStdout>, String) {
    let mut out = BufReader::new(process.stdout.take().unwrap());
    let mut said = String::new();
    out.read_line(&mut said).unwrap();
    (out, said)
}

pub(crate) fn tell(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

/// Interrupts a process, as Ctrl-C does.
pub(crate) fn interrupt(mut process: Child) -> ExitStatus {
    tell(&process, Signal::INT);
    process.wait().unwrap()
}
