//! The script: what is done to a store, each step a pure function of the seed and the steps before.
//!
//! Each step may be done again at once and changes nothing then: so a crash inside one is made up
//! for by doing it once more.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use millpond_core::Position;
use millpond_store::{Batch, DataFolder, Mark, Options, Store};

use super::oracle::{Edition, State};

/// The clock of step 0.
pub const START: u64 = 1_760_000_000_000;
/// Between two steps. Lateness is 1 s: what came two steps ago can be closed.
const STEP_MS: u64 = 700;
/// Names the mark that each step leaves.
const MARK: &str = "script";
/// Keys of the first events; a part of them is erased at times.
pub const KEYS: [&str; 6] = ["ann", "bea", "cy", "dan", "eve", "fay"];

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch: new events, repeats, late ones and poison.
    Ingest(Vec<Vec<u8>>),
    /// Snapshots of everything that asks for one, and all trims.
    Upkeep,
    /// Snapshots of some keys, and no trim.
    Snapshot(Vec<&'static str>),
    /// Everything into the tables.
    Flush,
    /// Everything of a key goes.
    Erase(&'static str),
    /// A late event is folded after all.
    AcceptLate(String, Position),
    /// A late event is dropped.
    DropLate(String, Position),
    /// What the quarantine has of some bytes is dropped.
    DropQuarantined(Vec<u8>),
    /// All stored events are joined under the other definition.
    Rebuild(Edition),
    /// The store is closed and opened.
    Reopen,
    /// The store is dropped as it is, and opened: the log is replayed.
    Drop,
}

impl Step {
    /// Its name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ingest(_) => "ingest",
            Self::Upkeep => "upkeep",
            Self::Snapshot(_) => "snapshot",
            Self::Flush => "flush",
            Self::Erase(_) => "erasure",
            Self::AcceptLate(..) => "accepting late",
            Self::DropLate(..) => "dropping late",
            Self::DropQuarantined(_) => "dropping quarantined",
            Self::Rebuild(_) => "rebuild",
            Self::Reopen => "reopening",
            Self::Drop => "replay",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        let texts = |events: &[Vec<u8>]| -> String {
            events.iter().map(|event| format!("\n   {}", String::from_utf8_lossy(event))).collect()
        };
        match self {
            Self::Ingest(events) => write!(f, "{}", texts(events)),
            Self::Snapshot(keys) => write!(f, " of {}", keys.join(", ")),
            Self::Erase(key) => write!(f, " of {key}"),
            Self::AcceptLate(key, at) | Self::DropLate(key, at) => write!(f, " {}-{} of {key}", at.timestamp, at.id),
            Self::DropQuarantined(bytes) => write!(f, "{}", texts(std::slice::from_ref(bytes))),
            Self::Rebuild(edition) => write!(f, " under {edition:?}"),
            Self::Upkeep | Self::Flush | Self::Reopen | Self::Drop => Ok(()),
        }
    }
}

/// When a step happens.
#[must_use]
pub fn clock(step: usize) -> u64 {
    START + step as u64 * STEP_MS
}

fn rng(seed: u64, step: usize, what: u64) -> Rng {
    Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (step as u64) << 20 ^ what)
}

/// Step `number` (from 1) of `steps`, after what was done before.
#[must_use]
pub fn step(seed: u64, number: usize, steps: usize, before: &State) -> Step {
    let mut rng = rng(seed, number, 0xFFFF);
    // A rebuild needs all history: trims only come behind it.
    let trims = number > steps / 2;
    match rng.u8(..100) {
        0..8 if trims => Step::Upkeep,
        0..8 => Step::Snapshot(KEYS.to_vec()),
        8..12 => Step::Snapshot(vec![rng.choice(KEYS).expect("there are keys"), "nobody"]),
        12..17 => Step::Flush,
        17..21 => Step::Erase(rng.choice(KEYS).expect("there are keys")),
        21..24 if !trims => Step::Rebuild(before.edition.other()),
        24..27 => Step::Reopen,
        27..30 => Step::Drop,
        30..36 => decision(before).unwrap_or_else(|| ingest(seed, number, &mut rng)),
        36..38 => {
            let dropped = before.quarantine.keys().next().cloned();
            dropped.map_or_else(|| ingest(seed, number, &mut rng), Step::DropQuarantined)
        }
        _ => ingest(seed, number, &mut rng),
    }
}

/// What a person decides about the first late event.
fn decision(before: &State) -> Option<Step> {
    let (key, at) = before.late.keys().next()?;
    // The same place again is a repeat of what was trimmed: nobody may accept that.
    let is_new = before.keys.get(key).is_some_and(|known| !known.rows.contains_key(at));
    Some(if is_new { Step::AcceptLate(key.clone(), at.clone()) } else { Step::DropLate(key.clone(), at.clone()) })
}

fn ingest(seed: u64, number: usize, rng: &mut Rng) -> Step {
    let mut events: Vec<Vec<u8>> = (0..rng.u64(1..7)).map(|place| event(seed, number, place, false)).collect();
    for _ in 0..rng.u8(..3) {
        let (older, place) = (rng.usize(1..=number), rng.u64(..7));
        events.push(event(seed, older, place, rng.u8(..6) == 0));
    }
    if rng.u8(..5) == 0 {
        let future = clock(number) + 10_000_000;
        events.push(match rng.u8(..3) {
            0 => format!("no event {number}").into_bytes(),
            1 => format!(r#"{{"id":"f{number}","type":"visit","timestamp":{future},"k":"ann"}}"#).into_bytes(),
            _ => format!(r#"{{"id":"p{number}","type":"visit","timestamp":{START},"k":7}}"#).into_bytes(),
        });
    }
    Step::Ingest(events)
}

/// Event `place` of a step; `changed`: another body under the same name, if it has one key.
fn event(seed: u64, step: usize, place: u64, changed: bool) -> Vec<u8> {
    let mut rng = rng(seed, step, place);
    // One in eight was under way for long.
    let delay = if rng.u8(..8) == 0 { rng.u64(..9_000) } else { rng.u64(..600) };
    let at = clock(step).saturating_sub(delay).max(START);
    let filler: String = (0..rng.usize(1..200)).map(|_| rng.alphanumeric()).collect();
    let key = rng.choice(KEYS).expect("there are keys");
    let (n, v) = (rng.i64(-50..500), rng.u8(..9));
    let mut text = format!(r#"{{"id":"e{step}-{place}","timestamp":{at},"n":{n},"v":"v{v}","filler":"{filler}""#);
    if rng.u8(..4) == 0 {
        let to = rng.choice(KEYS).expect("there are keys");
        text += &format!(r#","type":"move","from":"{key}","to":"{to}"}}"#);
    } else {
        text += &format!(r#","type":"visit","k":"{key}"{}}}"#, if changed { r#","changed":true"# } else { "" });
    }
    text.into_bytes()
}

/// Memory so small that every few commits freeze and flush, and nothing stays cached.
#[must_use]
pub fn options(seed: u64) -> Options {
    Options {
        cache_bytes: 0,
        memtable_bytes: 4_000,
        block_cache_bytes: 1 << 20,
        log_bytes_kept: if seed.is_multiple_of(2) { 0 } else { 10_000 },
        duplicates_bytes_kept: 0,
        durable: true,
    }
}

/// A store under the script.
struct Actor<'f> {
    folder: &'f DataFolder,
    seed: u64,
    store: Store,
}

/// Runs the steps after `after` up to `steps`; `ack` is told of each, and of 0 when the store is open.
///
/// # Errors
/// Whatever the store answers first, or an answer that is not the one expected.
pub fn run(dir: &Path, seed: u64, after: usize, steps: usize, ack: impl FnMut(usize) -> Result<()>) -> Result<()> {
    let folder = DataFolder::open_or_create(dir)?;
    Ok(do_steps(&folder, seed, after..steps, steps, ack)?.close()?)
}

/// Does the step after so many, and leaves the store as a crash would: it is not closed.
///
/// # Errors
/// If the step fails.
pub fn run_one(dir: &Path, seed: u64, after: usize, steps: usize) -> Result<()> {
    let folder = DataFolder::open_or_create(dir)?;
    do_steps(&folder, seed, after..after + 1, steps, |_| Ok(())).map(drop)
}

/// Does the steps after `range.start` up to `range.end` of so many.
fn do_steps(
    folder: &DataFolder,
    seed: u64,
    range: Range<usize>,
    steps: usize,
    mut ack: impl FnMut(usize) -> Result<()>,
) -> Result<Store> {
    let (store, _) = Store::open_or_create(folder, Edition::Plain.join(), options(seed))?;
    let mut actor = Actor { folder, seed, store };
    if range.start == 0 {
        ack(0)?;
    }
    let mut state = State::default();
    for number in 1..=range.end {
        let step = step(seed, number, steps, &state);
        if number > range.start {
            actor = actor.step(&step, number).with_context(|| format!("step {number}: {}", step.name()))?;
            ack(number)?;
        }
        state.apply(&step, clock(number));
    }
    Ok(actor.store)
}

impl Actor<'_> {
    fn step(mut self, step: &Step, number: usize) -> Result<Self> {
        let now = clock(number);
        let value = number.to_string();
        let mark = Some(Mark { name: MARK, value: value.as_bytes() });
        let mut batch = Batch { now, mark, ..Batch::default() };
        if let Step::Ingest(events) = step {
            let events: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
            batch.events = &events;
            self.store.ingest(&batch)?;
            return Ok(self);
        }
        self = self.other(step, now)?;
        self.store.ingest(&batch)?;
        Ok(self)
    }

    /// Anything but a batch.
    fn other(mut self, step: &Step, now: u64) -> Result<Self> {
        match step {
            Step::Ingest(_) => {}
            Step::Upkeep => {
                self.store.flush()?;
                self.store.ask_for_old(now, 0, None, usize::MAX)?;
                self.store.maintain(now)?;
                self.store.trim(&KEYS)?;
            }
            Step::Snapshot(keys) => drop(self.store.snapshot(keys, now)?),
            Step::Flush => self.store.flush()?,
            Step::Erase(key) => {
                let erased = self.store.erase(key, now)?;
                // Nobody else reads: only a fault of the disk can have hindered it.
                ensure!(erased.is_none_or(|erased| erased.compacted), "the erased bytes may still be on the disk");
            }
            Step::AcceptLate(key, at) => drop(self.store.accept_late(key, at, now)?),
            Step::DropLate(key, at) => drop(self.store.drop_late(key, at)?),
            Step::DropQuarantined(bytes) => {
                let mut ids = Vec::new();
                self.store.each_quarantined(|entry| {
                    if entry.quarantined.bytes == *bytes {
                        ids.push(entry.id);
                    }
                    Ok::<_, millpond_store::Error>(())
                })?;
                for id in ids {
                    self.store.drop_quarantined(&id)?;
                }
            }
            Step::Rebuild(edition) => {
                self.store = self.store.rebuild(self.folder, edition.join(), false, |_| {})?.0;
            }
            Step::Reopen => {
                self.store.close()?;
                self.store = Store::open(self.folder, "disk", options(self.seed))?.0;
            }
            Step::Drop => {
                drop(self.store);
                self.store = Store::open(self.folder, "disk", options(self.seed))?.0;
            }
        }
        Ok(self)
    }
}

/// The last step whose mark the store has.
///
/// # Errors
/// If the tables cannot be read.
pub fn marked(store: &Store) -> Result<Option<usize>> {
    let Some(value) = store.mark(MARK)? else { return Ok(None) };
    Ok(Some(std::str::from_utf8(&value)?.parse()?))
}

/// Says on the standard output that a step is done, in one call of the system.
///
/// # Errors
/// If nobody can be told.
pub fn say(step: usize) -> Result<()> {
    let line = format!("ack {step}\n");
    let written = rustix::io::write(std::io::stdout(), line.as_bytes())?;
    ensure!(written == line.len(), "the line was not taken as a whole");
    Ok(())
}
