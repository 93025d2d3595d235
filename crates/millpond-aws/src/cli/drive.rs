//! Commands that have a deployment do something.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aws_sdk_lambda::primitives::Blob;
use millpond_core::event::EVENT_BYTES_MAX;
use serde_json::{Value, json};

use super::session::{Session, now, told};
use crate::aws::stream::{Entry, put as put_entries};
use crate::handlers::command::entry;
use crate::samples::Sample;

/// Events that are put at once.
const EVENTS_AT_ONCE: usize = 500;
/// A line that is longer is no event.
const LINE_BYTES_MAX: u64 = 2 * EVENT_BYTES_MAX as u64;

/// Runs a function now, and answers with what it says.
pub(super) async fn invoke(session: &Session, function: &str, payload: &Value) -> Result<Value> {
    let lambda = aws_sdk_lambda::Client::new(&session.stacks.config);
    let name = session.function(function);
    let invoked = lambda.invoke().function_name(&name).payload(Blob::new(payload.to_string())).send().await;
    let invoked = invoked.map_err(told);
    let invoked = invoked.with_context(|| format!("invoking {name}"))?;
    let answer = invoked.payload().map_or(&b"null"[..], AsRef::as_ref);
    let answer: Value = serde_json::from_slice(answer).with_context(|| format!("the answer of {name}"))?;
    if invoked.function_error().is_some() {
        bail!("{name} failed: {}", answer["errorMessage"].as_str().map_or_else(|| answer.to_string(), str::to_owned));
    }
    Ok(answer)
}

pub(super) async fn by_hand(session: &Session, function: &str, key: &str) -> Result<()> {
    println!("{}", invoke(session, function, &json!({"key": key})).await?);
    Ok(())
}

pub(super) async fn command(session: &Session, sample: Sample) -> Result<()> {
    println!("{}", invoke(session, "command", &json!({"sample": sample})).await?);
    Ok(())
}

/// Puts the events of files on the stream; what no consumer could take is told by line, and not put.
pub(super) async fn put(session: &Session, files: &[PathBuf]) -> Result<()> {
    let (mut done, mut refused) = (0_u64, 0_u64);
    for file in files {
        let mut lines = Lines::open(file)?;
        loop {
            let mut entries: Vec<Entry> = Vec::new();
            while entries.len() < EVENTS_AT_ONCE {
                let Some((number, line)) = lines.next()? else { break };
                match entry(&session.deployment, &line, now()) {
                    Ok(entry) => entries.push(entry),
                    Err((reason, detail)) => {
                        eprintln!("{}:{number}: {}: {detail}", file.display(), reason.code());
                        refused += 1;
                    }
                }
            }
            if entries.is_empty() {
                break;
            }
            done += entries.len() as u64;
            let invocation = session.invocation();
            let (kinesis, stream) = (&session.deployment.clients.kinesis, &session.deployment.stream);
            put_entries(kinesis, stream, entries, &invocation.pace).await?;
        }
    }
    println!("{}", json!({"put": done, "refused": refused}));
    if refused > 0 {
        bail!("{refused} line(s) were not put");
    }
    Ok(())
}

/// The lines of a file that are not empty, with their numbers.
struct Lines {
    reader: Box<dyn BufRead>,
    number: u64,
}

impl Lines {
    fn open(file: &Path) -> Result<Self> {
        let reader: Box<dyn BufRead> = if file == Path::new("-") {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(file).with_context(|| format!("reading {}", file.display()))?))
        };
        Ok(Self { reader, number: 0 })
    }

    fn next(&mut self) -> Result<Option<(u64, String)>> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let number = self.number;
            if read as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
                bail!("line {number} is longer than {LINE_BYTES_MAX} bytes: not an event a line");
            }
            let line = String::from_utf8(line).with_context(|| format!("line {number} is no UTF-8"))?;
            if !line.trim().is_empty() {
                return Ok(Some((number, line.trim_end().to_owned())));
            }
        }
    }
}
