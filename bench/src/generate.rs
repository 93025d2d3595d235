//! Writes a workload and its answer into a directory.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, ensure};

use crate::oracle::Oracle;
use crate::workload::Workload;

/// The delivered lines, in order.
pub const EVENTS_FILE: &str = "events.ndjson";
/// Every delivered line twice, all in random order.
pub const SHUFFLED_DOUBLED_FILE: &str = "shuffled-doubled.ndjson";
/// The views that follow from either, by the oracle.
pub const EXPECTED_FILE: &str = "expected.ndjson";

/// What one file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The file's name.
    pub file: &'static str,
    /// Lines, each with its line end.
    pub lines: u64,
    /// Bytes, line ends included.
    pub bytes: u64,
    /// Lines of distinct ids.
    pub distinct: u64,
    /// The other lines.
    pub duplicates: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, lines, bytes, distinct, duplicates } = self;
        write!(out, "{file}: {lines} lines, {bytes} bytes, {distinct} distinct, {duplicates} duplicates")
    }
}

/// Writes the workload's files into `dir`, which is made if need be; the shuffled one only if `shuffled` asks for it.
///
/// # Errors
/// A file cannot be written, or the generator broke its promise of distinct ids.
pub fn generate(workload: &Workload, dir: &Path, shuffled: bool) -> anyhow::Result<Vec<Summary>> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let mut oracle = Oracle::new();
    let mut events = NdjsonFile::create(dir, EVENTS_FILE)?;
    let mut lines = workload.lines();
    while let Some(line) = lines.next_line() {
        oracle.take(line)?;
        events.push(line)?;
    }
    let distinct = oracle.distinct();
    ensure!(distinct == workload.events, "{} events, but {distinct} distinct ids", workload.events);
    let mut summaries = vec![events.finish(distinct)?];

    if shuffled {
        let mut file = NdjsonFile::create(dir, SHUFFLED_DOUBLED_FILE)?;
        workload.shuffled_doubled().lines().try_for_each(|line| file.push(line))?;
        summaries.push(file.finish(distinct)?);
    }

    let mut expected = NdjsonFile::create(dir, EXPECTED_FILE)?;
    oracle.views().try_for_each(|view| expected.push(&view))?;
    let views = expected.summary.lines;
    summaries.push(expected.finish(views)?);
    Ok(summaries)
}

struct NdjsonFile {
    out: BufWriter<File>,
    summary: Summary,
}

impl NdjsonFile {
    fn create(dir: &Path, file: &'static str) -> anyhow::Result<Self> {
        let path = dir.join(file);
        let out = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let summary = Summary { file, lines: 0, bytes: 0, distinct: 0, duplicates: 0 };
        Ok(Self { out: BufWriter::with_capacity(1 << 20, out), summary })
    }

    fn push(&mut self, line: &str) -> anyhow::Result<()> {
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")?;
        self.summary.lines += 1;
        self.summary.bytes += line.len() as u64 + 1;
        Ok(())
    }

    fn finish(mut self, distinct: u64) -> anyhow::Result<Summary> {
        self.out.flush().with_context(|| format!("writing {}", self.summary.file))?;
        Ok(Summary { distinct, duplicates: self.summary.lines - distinct, ..self.summary })
    }
}
