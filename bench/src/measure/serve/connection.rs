//! One HTTP/1.1 connection, written out so that it costs little and hides no wait: a request is one write, its answer
//! is read to its end, and nothing is sent ahead or again.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// A server that is silent for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// What was read: an answer's head and body, no more.
    answer: Vec<u8>,
}

/// What the server answered.
#[derive(Debug)]
pub(super) struct Answer<'c> {
    pub(super) status: u16,
    head: &'c str,
    pub(super) body: &'c [u8],
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    pub(super) fn get(&mut self, target: &str, headers: &str) -> anyhow::Result<Answer<'_>> {
        self.exchange(&format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"), b"")
    }

    /// Posts events.
    pub(super) fn post(&mut self, target: &str, content_type: &str, body: &[u8]) -> anyhow::Result<Answer<'_>> {
        let length = body.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        self.exchange(&head, body)
    }

    /// A body without end or length, as it comes: HTTP/1.0 has no chunks.
    pub(super) fn stream(mut self, target: &str, headers: &str) -> anyhow::Result<(TcpStream, Vec<u8>)> {
        self.stream.write_all(format!("GET {target} HTTP/1.0\r\nhost: localhost\r\n{headers}\r\n").as_bytes())?;
        let head_end = self.read_head()?;
        let status = status(&self.answer[..head_end])?;
        ensure!(status == 200, "{target} answered {status}: {}", String::from_utf8_lossy(&self.answer));
        Ok((self.stream, self.answer.split_off(head_end)))
    }

    fn exchange(&mut self, head: &str, body: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.request.clear();
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).context("sending a request")?;
        let head_end = self.read_head()?;
        let status = status(&self.answer[..head_end])?;
        let length = match value(text(&self.answer[..head_end])?, "content-length") {
            Some(length) => length.parse().context("a content-length is a number")?,
            None if status == 304 => 0,
            None => bail!("an answer without a length"),
        };
        while self.answer.len() < head_end + length {
            self.read_more()?;
        }
        ensure!(self.answer.len() == head_end + length, "more than one answer");
        let (head, body) = self.answer.split_at(head_end);
        Ok(Answer { status, head: text(head)?, body })
    }

    /// Reads until the head is there; where it ends.
    fn read_head(&mut self) -> anyhow::Result<usize> {
        self.answer.clear();
        loop {
            let looked_at = self.answer.len().saturating_sub(3);
            self.read_more()?;
            let end = self.answer[looked_at..].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                return Ok(looked_at + end + 4);
            }
            ensure!(self.answer.len() < HEAD_BYTES_MAX, "an answer's head is too long");
        }
    }

    fn read_more(&mut self) -> anyhow::Result<()> {
        let there = self.answer.len();
        self.answer.resize(there + READ_BYTES, 0);
        let read = loop {
            match self.stream.read(&mut self.answer[there..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.context("reading an answer")?,
            }
        };
        self.answer.truncate(there + read);
        ensure!(read > 0, "the connection ended before the answer did");
        Ok(())
    }
}

impl<'c> Answer<'c> {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&'c str> {
        value(self.head, name)
    }

    /// The body, if this is the status.
    pub(super) fn expect(self, status: u16) -> anyhow::Result<&'c [u8]> {
        ensure!(self.status == status, "answered {}: {}", self.status, String::from_utf8_lossy(self.body));
        Ok(self.body)
    }
}

fn text(head: &[u8]) -> anyhow::Result<&str> {
    std::str::from_utf8(head).context("an answer's head is text")
}

fn status(head: &[u8]) -> anyhow::Result<u16> {
    let status = text(head)?.split(' ').nth(1).context("an answer has a status")?;
    Ok(status.parse()?)
}

fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
