//! A server of one test, and what is said to it byte by byte.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::Home;

/// Longer than anything here may take: a test that waits so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A running `millpond serve`; killed when dropped.
pub(crate) struct Server<'h> {
    home: &'h Home,
    child: Child,
    out: BufReader<ChildStdout>,
    /// The line it says when it is ready.
    pub(crate) ready: String,
    pub(crate) address: SocketAddr,
}

impl<'h> Server<'h> {
    /// Starts it on a free port, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(home: &'h Home, line: &str) -> Self {
        let errors = File::options().create(true).append(true).open(home.path("serve.err")).unwrap();
        let mut command = home.command(&format!("serve {line} --listen 127.0.0.1:0"));
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        let address = ready.trim_end().rsplit_once("//").and_then(|(_, address)| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{ready:?}\n{}", said(home)));
        Self { home, child, out, ready, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until nobody can connect any more.
    pub(crate) fn closed(&self) {
        until(|| TcpStream::connect(self.address).is_err());
    }

    /// Waits for the end; what it said on standard error since the home was made.
    #[track_caller]
    pub(crate) fn ends(mut self, code: i32) -> String {
        let ended = self.child.wait().unwrap();
        let said = said(self.home);
        assert_eq!(ended.code(), Some(code), "{said}");
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "more than one line on standard output");
        said
    }

    pub(crate) fn connect(&self) -> Peer<TcpStream> {
        Peer::new(TcpStream::connect(self.address).unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> Heard {
        self.connect().get(path, token)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

fn said(home: &Home) -> String {
    fs::read_to_string(home.path("serve.err")).unwrap()
}

/// Asks again and again until it is so.
#[track_caller]
pub(crate) fn until(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < LONG, "it never was so");
        std::thread::yield_now();
    }
}

/// The other side of a connection.
pub(crate) struct Peer<S>(pub(crate) S);

/// An answer.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Peer<TcpStream> {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(stream)
    }
}

impl<S: Read + Write> Peer<S> {
    pub(crate) fn says(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Reads an answer whose length is told; `None` if the connection ended instead.
    pub(crate) fn hears(&mut self) -> Option<Heard> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) | Err(_) => return None,
            }
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).ok()?;
        Some(Heard { status, head, body: String::from_utf8(body).unwrap() })
    }

    pub(crate) fn get(&mut self, path: &str, token: Option<&str>) -> Heard {
        let token = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        self.says(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{token}\r\n"));
        self.hears().unwrap()
    }

    /// Begins to post events: all but the last of the bytes.
    pub(crate) fn begins_to_post(&mut self, body: &str) {
        let head = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n";
        self.says(&format!("{head}content-length: {}\r\n\r\n{}", body.len(), &body[..body.len() - 1]));
    }

    pub(crate) fn ends_to_post(&mut self, body: &str) -> Option<Heard> {
        self.0.write_all(&body.as_bytes()[body.len() - 1..]).ok()?;
        self.hears()
    }
}
