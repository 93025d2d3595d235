//! Files of events that a command line names.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use xxhash_rust::xxh3::xxh3_128;

/// Bytes at the start of a file by which it is found again: its first line, or so much of it.
const HEAD_BYTES: u64 = 4096;

/// A file, or standard input.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) source: Box<dyn Read + Send>,
    /// Bytes, where it is known.
    pub(super) length: u64,
    /// A file that can be read more than once, and its head's digest.
    pub(super) file: Option<(File, u128)>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { name: "standard input".into(), source: Box::new(io::stdin()), length: 0, file: None });
        }
        let name = path.display().to_string();
        let open = || File::open(path).with_context(|| format!("cannot read {name}"));
        let file = open()?;
        let metadata = file.metadata().with_context(|| format!("cannot read {name}"))?;
        anyhow::ensure!(!metadata.is_dir(), "{name} is a folder; expected a file of events");
        if !metadata.is_file() {
            return Ok(Self { name, source: Box::new(file), length: 0, file: None });
        }
        let mut head = Vec::new();
        open()?.take(HEAD_BYTES).read_to_end(&mut head).with_context(|| format!("cannot read {name}"))?;
        // The first line stays the same when a file grows.
        let line = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |end| end + 1);
        let again = Some((open()?, xxh3_128(&head[..line])));
        Ok(Self { name, source: Box::new(file), length: metadata.len(), file: again })
    }
}

/// A bar on a terminal, nothing elsewhere.
pub(super) fn progress(inputs: &[Input]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let total: u64 = inputs.iter().map(|input| input.length).sum();
    let template = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.enable_steady_tick(Duration::from_millis(250));
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}
