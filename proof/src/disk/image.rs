//! Crash images: what a disk may hold when a process was killed, or the power was cut, after the
//! first of its operations.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::record::{Op, Record, apply};
use super::tree::Tree;

/// What a crash takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process was killed: nothing that the system has is lost.
    Killed,
    /// The power was cut, on a file system with a journal, as ext4 or XFS in their usual modes: names and
    /// lengths are lost from the end only, and any sync takes all of them down; each write since the
    /// last sync of its file may be there or not.
    Journal,
    /// The power was cut, and the file system does no more than POSIX asks for: a name lasts when its
    /// folder was synced, and each that did not may be there or not.
    Posix,
}

impl Crash {
    /// Its name in reports: there is also the part that kills.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "image of a kill",
            Self::Journal => "power cut",
            Self::Posix => "power cut, names by POSIX",
        }
    }
}

/// What was lost, and how often.
pub type Lost = BTreeMap<&'static str, u64>;
/// Among what was lost: a write of which the disk has only some sectors.
pub const TORN: &str = "torn write";
const NAME: &str = "name of a new file lost";
const REMOVAL: &str = "removal lost";
const RENAME: &str = "rename lost";
const WRITE: &str = "unsynced write lost";
const LENGTH: &str = "unsynced length lost";

/// What happens to the writes that no sync covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    All,
    None,
    Some,
}

/// Which operations are on the disk for good.
struct Durable {
    /// By file or folder: its content up to this operation.
    synced: BTreeMap<usize, usize>,
    /// All names and lengths up to this operation.
    journal: usize,
}

impl Durable {
    fn after(ops: &[Op]) -> Self {
        let mut durable = Self { synced: BTreeMap::new(), journal: 0 };
        // Files whose length or name no journal has yet.
        let mut changed: BTreeMap<usize, usize> = BTreeMap::new();
        for (index, op) in ops.iter().enumerate() {
            match op {
                Op::Make { number, .. } | Op::SetLen { number, .. } | Op::Write { number, grows: true, .. } => {
                    changed.insert(*number, index);
                }
                Op::Sync { number, only_data, covers } => {
                    durable.synced.insert(*number, *covers);
                    let has_changed = changed.get(number).is_some_and(|index| *index >= durable.journal);
                    if !only_data || has_changed {
                        durable.journal = durable.journal.max(*covers);
                    }
                }
                _ => {}
            }
        }
        durable
    }

    fn has(&self, number: usize, index: usize) -> bool {
        self.synced.get(&number).is_some_and(|covers| index < *covers)
    }
}

/// Folders whose names were never made to last, by the kind of their path; in the stricter model
/// those are what a power cut may take.
#[must_use]
pub fn unsynced_names(record: &Record) -> BTreeMap<String, u64> {
    let durable = Durable::after(&record.ops);
    let mut found = BTreeMap::new();
    for (index, op) in record.ops.iter().enumerate() {
        if let Op::Make { dir, number, .. } = op
            && !durable.has(*dir, index)
        {
            *found.entry(kind(&record.paths[*number]).to_owned()).or_default() += 1;
        }
    }
    found
}

/// What sort of file a path of the data folder leads to.
#[must_use]
pub fn kind(path: &str) -> &'static str {
    let path = path.trim_start_matches('/');
    let name = path.rsplit('/').next().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match name {
        "LOCK" => "LOCK",
        "MANIFEST" | "MANIFEST.new" => "MANIFEST",
        "definition.toml" | "definition.new" => "definition",
        "lock" => "lock of the tables",
        "version" => "version of the tables",
        "current" => "current",
        _ if name.ends_with(".log") => "log segment",
        _ if name.ends_with(".jnl") => "journal of the tables",
        _ if name.starts_with(".tmp") => "new current",
        _ if path.contains("/blobs/") => "blob file",
        _ if path.contains("/keyspaces/")
            && path.contains("/tables/")
            && digits(name)
            && path.matches('/').count() > 4 =>
        {
            "table"
        }
        _ if name.strip_prefix('v').is_some_and(digits) => "list of tables",
        _ if digits(name) => "folder of a table",
        _ => "folder",
    }
}

/// The disk after a crash behind the first operations `ops`; chances are those of `rng`.
#[must_use]
pub fn image(ops: &[Op], crash: Crash, rng: &mut Rng) -> (Tree, Lost) {
    // What is never lost is to be seen, too.
    let mut lost = Lost::from([TORN, NAME, REMOVAL, RENAME, WRITE, LENGTH].map(|kind| (kind, 0)));
    let mut tree = Tree::default();
    if crash == Crash::Killed {
        ops.iter().for_each(|op| apply(&mut tree, op));
        return (tree, lost);
    }
    let durable = Durable::after(ops);
    let journal = match rng.u8(..3) {
        0 => durable.journal,
        1 => ops.len(),
        _ => rng.usize(durable.journal..=ops.len()),
    };
    let fate = [Fate::All, Fate::None, Fate::Some, Fate::Some][rng.usize(..4)];
    let kept: Vec<bool> = ops
        .iter()
        .enumerate()
        .map(|(index, op)| match op {
            Op::Write { number, .. } => {
                durable.has(*number, index)
                    || match fate {
                        Fate::All => true,
                        Fate::None => false,
                        Fate::Some => rng.bool(),
                    }
            }
            Op::SetLen { number, .. } if crash == Crash::Posix => durable.has(*number, index) || rng.bool(),
            Op::SetLen { number, .. } => index < journal || durable.has(*number, index),
            Op::Make { dir, .. } | Op::Remove { dir, .. } | Op::Rename { to: (dir, _), .. } => match crash {
                Crash::Posix => durable.has(*dir, index) || (fate != Fate::None && (fate == Fate::All || rng.bool())),
                _ => index < journal,
            },
            Op::Sync { .. } | Op::Ack(_) => true,
        })
        .collect();
    let torn = torn(ops, &durable, &kept, rng);
    for (index, op) in ops.iter().enumerate() {
        match op {
            Op::Write { number, offset, bytes, .. } if torn == Some(index) => {
                let mut sectors = (0, 0);
                if let Some(file) = tree.file(*number) {
                    file.write_torn(*offset, bytes, || {
                        let kept = rng.bool();
                        sectors = (sectors.0 + u64::from(kept), sectors.1 + u64::from(!kept));
                        kept
                    });
                }
                *lost.entry(TORN).or_default() += u64::from(sectors.1 > 0);
            }
            _ if kept[index] => apply(&mut tree, op),
            Op::Make { number, is_dir, .. } => {
                tree.make(*number, *is_dir); // its content may be there, but no name leads to it
                *lost.entry(NAME).or_default() += 1;
            }
            Op::Remove { .. } => *lost.entry(REMOVAL).or_default() += 1,
            Op::Rename { .. } => *lost.entry(RENAME).or_default() += 1,
            Op::Write { .. } => *lost.entry(WRITE).or_default() += 1,
            Op::SetLen { .. } => *lost.entry(LENGTH).or_default() += 1,
            Op::Sync { .. } | Op::Ack(_) => {}
        }
    }
    (tree, lost)
}

/// The last write that no sync covers and that is there: half of the time the disk had only a part of it.
fn torn(ops: &[Op], durable: &Durable, kept: &[bool], rng: &mut Rng) -> Option<usize> {
    let unsynced = |index: &usize| matches!(&ops[*index], Op::Write { number, .. } if kept[*index] && !durable.has(*number, *index));
    let last = (0..ops.len()).rev().find(unsynced);
    last.filter(|_| rng.bool())
}
