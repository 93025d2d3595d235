//! `millpond run`: files of events in, durable views out.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millpond_core::state::STATE_BYTES_MAX;
use millpond_core::{Reason, Rejection};
use millpond_store::{Batch, DataFolder, Mark, Options, Outcome, Store};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::{definition, now, rebuild};
use crate::cli::Run;
use crate::input::{Flaw, Item, Reader, digest_of_prefix};
use crate::output::{counts, grouped, stdout};

/// Bytes at the start of a file by which it is found again: its first line, or so much of it.
const HEAD_BYTES: u64 = 4096;
/// Files with the same head that are told apart, by all that was read of them.
const SAME_HEADS_MAX: u32 = 64;

/// What a run did; what is printed with `--json`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    join: String,
    received: u64,
    accepted: u64,
    duplicate: u64,
    late: u64,
    quarantined: u64,
    ignored: u64,
    keys: u64,
    snapshots: u64,
    trimmed: u64,
    seconds: f64,
    events_per_second: u64,
}

pub(super) fn run(args: &Run) -> Result<ExitCode> {
    let join = definition(&args.definition)?;
    let inputs: Vec<Input> = args.files.iter().map(|path| Input::open(path)).collect::<Result<_>>()?;
    let folder = DataFolder::open_or_create(&args.data.data)?;
    let store = rebuild::open_under(&folder, join, options(args))?;
    let started = Instant::now();
    let mut running = Running {
        store: &store,
        args,
        progress: progress(&inputs),
        summary: Summary { join: store.join().name().to_owned(), ..Summary::default() },
    };
    for input in inputs {
        running.input(input)?;
    }
    running.progress.finish_and_clear();
    let mut summary = running.summary;
    summary.keys = store.counters().keys;
    store.flush()?;
    for (key, bytes) in store.large_states() {
        eprintln!(
            "millpond: the state of key `{key}` has {} bytes; over {STATE_BYTES_MAX} its view is marked `_overflow`",
            grouped(bytes as u64)
        );
    }
    store.close()?;
    summary.seconds = started.elapsed().as_secs_f64();
    summary.events_per_second = (summary.received as f64 / summary.seconds.max(1e-9)) as u64;
    print(&summary, args)?;
    Ok(ExitCode::SUCCESS)
}

fn options(args: &Run) -> Options {
    let usual = Options::default();
    let memtable_bytes = args.memtable_kib.map_or(usual.memtable_bytes, |kib| kib as usize * 1024);
    Options { memtable_bytes, ..usual }
}

/// A file, or standard input.
struct Input {
    name: String,
    source: Box<dyn Read>,
    /// Bytes, where it is known.
    length: u64,
    /// A file that can be read more than once, and its head's digest.
    file: Option<(File, u128)>,
}

impl Input {
    fn open(path: &Path) -> Result<Self> {
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

struct Running<'r> {
    store: &'r Store,
    args: &'r Run,
    progress: ProgressBar,
    summary: Summary,
}

impl Running<'_> {
    fn input(&mut self, input: Input) -> Result<()> {
        let reading = format!("cannot read {}", input.name);
        let (mark, known) = match input.file {
            Some((file, head)) => {
                let (mark, known) = self.received_before(file, head).with_context(|| reading.clone())?;
                (Some(mark), known)
            }
            None => (None, 0),
        };
        let mut reader = Reader::new(input.source);
        let mut read = 0;
        loop {
            let batch = reader.next_batch(self.args.batch as usize).with_context(|| reading.clone())?;
            if batch.is_empty() {
                break;
            }
            let end = batch.end_offset();
            let items: Vec<Item<'_>> = batch.iter().collect();
            // A line that was cut short when it was read then, and is whole now, is another one.
            let before = items.partition_point(|item| item.offset + item.bytes.len() as u64 <= known);
            let (old, new) = items.split_at(before);
            if !old.is_empty() {
                self.batch(&input.name, old, true, None)?;
            }
            if !new.is_empty() {
                let value = encode_mark(end, batch.digest());
                let mark = mark.as_deref().map(|name| Mark { name, value: &value });
                self.batch(&input.name, new, false, mark)?;
            }
            self.progress.inc(end - read);
            read = end;
        }
        Ok(())
    }

    /// The name of this file's mark, and up to where this very file was read before, under this
    /// definition. Files with the same head have marks of their own, up to a number.
    fn received_before(&self, mut file: File, head: u128) -> Result<(String, u64)> {
        let name = |place: u32| format!("{}/{head:032x}/{place}", self.store.join().fingerprint());
        for place in 0..SAME_HEADS_MAX {
            let Some(value) = self.store.mark(&name(place))? else { return Ok((name(place), 0)) };
            let Some((offset, digest)) = decode_mark(&value) else { continue };
            file.rewind()?;
            if digest_of_prefix(&file, offset)? == Some(digest) {
                return Ok((name(place), offset));
            }
        }
        Ok((name(0), 0))
    }

    fn batch(&mut self, input: &str, items: &[Item<'_>], received_before: bool, mark: Option<Mark<'_>>) -> Result<()> {
        let now = now(&self.args.data);
        let events: Vec<&[u8]> = items.iter().filter(|item| item.flaw.is_none()).map(|item| item.bytes).collect();
        let broken: Vec<(&[u8], Rejection)> =
            items.iter().filter_map(|item| Some((item.bytes, rejection(input, item, item.flaw?)))).collect();
        let outcomes = self.store.ingest(&Batch { events: &events, broken: &broken, now, received_before, mark })?;
        for (_, outcome) in outcomes {
            self.summary.count(outcome);
        }
        let made = self.store.maintain(now)?;
        self.summary.snapshots += made.snapshots;
        self.summary.trimmed += made.trimmed;
        Ok(())
    }
}

impl Summary {
    fn count(&mut self, outcome: Outcome) {
        self.received += 1;
        *match outcome {
            Outcome::Accepted => &mut self.accepted,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Late => &mut self.late,
            Outcome::Quarantined(_) => &mut self.quarantined,
            Outcome::Ignored => &mut self.ignored,
        } += 1;
    }
}

/// Says where a broken piece lies, since not all of it may be kept.
fn rejection(input: &str, item: &Item<'_>, flaw: Flaw) -> Rejection {
    Rejection::new(Reason::BrokenInput, format!("{flaw}; in {input}, line {}, byte {}", item.line, item.offset))
}

fn encode_mark(offset: u64, digest: u128) -> Vec<u8> {
    [&offset.to_le_bytes()[..], &digest.to_le_bytes()[..]].concat()
}

fn decode_mark(value: &[u8]) -> Option<(u64, u128)> {
    let (offset, digest) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*offset), u128::from_le_bytes(digest.try_into().ok()?)))
}

/// A bar on a terminal, nothing elsewhere.
fn progress(inputs: &[Input]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let total: u64 = inputs.iter().map(|input| input.length).sum();
    let template = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    bar.enable_steady_tick(Duration::from_millis(250));
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}

fn print(summary: &Summary, args: &Run) -> Result<()> {
    let mut out = stdout();
    if args.data.json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let rate = grouped(summary.events_per_second);
    let received = grouped(summary.received);
    writeln!(out, "{}: {received} events received in {:.1} s ({rate} events/s)", summary.join, summary.seconds)?;
    let look = |what: &str, count: u64| match count {
        0 => String::new(),
        _ => format!("see: millpond {what} list {} --data {}", summary.join, args.data.data.display()),
    };
    let rows = [
        ("accepted", summary.accepted, String::new()),
        ("duplicate", summary.duplicate, String::new()),
        ("late", summary.late, look("late", summary.late)),
        ("quarantined", summary.quarantined, look("quarantine", summary.quarantined)),
        (
            "ignored",
            summary.ignored,
            if summary.ignored > 0 { "of types the definition does not name".into() } else { String::new() },
        ),
        ("keys", summary.keys, String::new()),
        ("snapshots", summary.snapshots, String::new()),
        ("trimmed", summary.trimmed, String::new()),
    ];
    counts(&mut out, &rows)?;
    Ok(out.flush()?)
}
