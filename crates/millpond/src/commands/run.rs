//! `millpond run`: files of events in, durable views out.

use std::fs::File;
use std::io::{Seek, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use millpond_client::To;
use millpond_core::state::STATE_BYTES_MAX;
use millpond_core::{Join, Reason, Rejection};
use millpond_store::{Batch, DataFolder, Mark, Options, Outcome, Store};
use serde::Serialize;

use super::files::{Input, progress};
use super::join::put_definition;
use super::place::{Place, Server, shown};
use super::sending::{Sending, Sent};
use super::{definition, now, rebuild};
use crate::cli::Run;
use crate::input::{Flaw, Item, Reader, digest_of_prefix};
use crate::output::{counts, grouped, stdout};

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
    let started = Instant::now();
    let (mut summary, broken) = match Place::open_or_create(&args.target)? {
        Place::Folder(folder) => (in_folder(args, &folder, join, inputs)?, 0),
        Place::Server(server) => at_server(args, &server, &join, inputs)?,
    };
    summary.seconds = started.elapsed().as_secs_f64();
    summary.events_per_second = (summary.received as f64 / summary.seconds.max(1e-9)) as u64;
    print(&summary, args)?;
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_folder(args: &Run, folder: &DataFolder, join: Join, inputs: Vec<Input>) -> Result<Summary> {
    let store = rebuild::open_under(folder, join, options(args))?;
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
    Ok(summary)
}

/// What a server counts meanwhile for others is in the summary too, where it makes snapshots.
fn at_server(args: &Run, server: &Server, join: &Join, inputs: Vec<Input>) -> Result<(Summary, u64)> {
    put_definition(server, join, &args.definition.display().to_string())?;
    let before = server.wait(server.client.stats(join.name()))?;
    let to = To::Join(join.name().to_owned());
    let sending = Sending { server, to, batch: args.batch as usize, fill: false };
    let Sent { taken, broken } = sending.run(inputs)?;
    let after = server.wait(server.client.stats(join.name()))?;
    let summary = Summary {
        join: join.name().to_owned(),
        received: taken.received,
        accepted: taken.accepted,
        duplicate: taken.duplicate,
        late: taken.late,
        quarantined: taken.quarantined,
        ignored: taken.ignored,
        keys: after.keys,
        snapshots: after.snapshots.saturating_sub(before.snapshots),
        trimmed: after.trimmed.saturating_sub(before.trimmed),
        ..Summary::default()
    };
    Ok((summary, broken))
}

fn options(args: &Run) -> Options {
    let usual = Options::default();
    let memtable_bytes = args.memtable_kib.map_or(usual.memtable_bytes, |kib| kib as usize * 1024);
    Options { memtable_bytes, ..usual }
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
        let now = now(&self.args.target);
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

fn print(summary: &Summary, args: &Run) -> Result<()> {
    let mut out = stdout();
    if args.target.json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let rate = grouped(summary.events_per_second);
    let received = grouped(summary.received);
    writeln!(out, "{}: {received} events received in {:.1} s ({rate} events/s)", summary.join, summary.seconds)?;
    let look = |what: &str, count: u64| match count {
        0 => String::new(),
        _ => format!("see: millpond {what} list {} {}", summary.join, shown(&args.target)),
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
