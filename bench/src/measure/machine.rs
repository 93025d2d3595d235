//! The machine as Linux tells of it, and the room that files take on its disk.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// The unit of `st_blocks`, whatever the file system's blocks are (stat(2)).
const STAT_BLOCK_BYTES: u64 = 512;

/// What the figures were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    cores: usize,
    processor: String,
    memory_bytes: u64,
    kernel: String,
    file_system: String,
    runs: usize,
    scale: f64,
    date: Option<String>,
}

impl Machine {
    /// This machine, with the file system of the folder that is measured in.
    ///
    /// # Errors
    /// `/proc` or the folder cannot be read.
    pub fn of(bench: &super::Bench, date: Option<String>) -> anyhow::Result<Self> {
        fs::create_dir_all(&bench.dir)?;
        let cpuinfo = read("/proc/cpuinfo")?;
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: model.map_or("unknown processor", |(_, model)| model.trim()).to_owned(),
            memory_bytes: kilobytes(&read("/proc/meminfo")?, "MemTotal:")?,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: file_system(&bench.dir.canonicalize()?)?,
            runs: bench.runs,
            scale: bench.scale,
            date,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = self.memory_bytes as f64 / 1e9;
        let Self { cores, processor, kernel, file_system, runs, scale, .. } = self;
        write!(out, "{cores} cores ({processor}), {gigabytes:.1} GB memory, Linux {kernel}, data on {file_system}")?;
        if let Some(date) = &self.date {
            write!(out, ", {date}")?;
        }
        write!(out, ". Medians of {runs} run(s); M = million, MB = 10^6 bytes")?;
        if *scale != 1.0 {
            write!(out, ". **Sizes times {scale}: not to be published**")?;
        }
        write!(out, ".")
    }
}

/// The type and device of the file system that holds an absolute path.
fn file_system(path: &Path) -> anyhow::Result<String> {
    let mounts = read("/proc/self/mounts")?;
    let holding = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        path.starts_with(point).then_some((point.len(), format!("{kind} ({device})")))
    });
    // Of two mounts over one point, the later one hides the earlier, and `max_by_key` returns the last.
    Ok(holding.max_by_key(|(length, _)| *length).context("no mount holds the data folder")?.1)
}

/// The most memory that a process has had resident so far (`VmHWM`), and not what its parent had, which
/// `ru_maxrss` counts too when the process was made with vfork.
pub(super) fn peak_rss_bytes(process: &str) -> anyhow::Result<u64> {
    kilobytes(&read(&format!("/proc/{process}/status"))?, "VmHWM:")
}

/// The memory that a process has resident now.
pub(super) fn rss_bytes(process: &str) -> anyhow::Result<u64> {
    kilobytes(&read(&format!("/proc/{process}/status"))?, "VmRSS:")
}

fn kilobytes(text: &str, label: &str) -> anyhow::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(label)).with_context(|| format!("no {label}"))?;
    Ok(value.trim().trim_end_matches("kB").trim_end().parse::<u64>()? * 1024)
}

/// The room that a folder's files take, holes not counted.
pub(super) fn disk_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        // A compaction in the background may have removed it since.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() * STAT_BLOCK_BYTES,
        };
    }
    Ok(bytes)
}

pub(super) fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}
