//! Segments of the log that were never written as they are: damage is refused, and nothing is
//! replayed that was not committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use millpond_store::Error;
use millpond_store::log::{Commit, Log, LogOptions, Recovery, Sync, check};

use crate::below;

/// Where nothing waits for a disk.
const MEMORY: &str = "/dev/shm";
/// The most changes to a log: with many, a checksum could be made to fit.
const EDITS_MAX: usize = 4;
const EDIT_BYTES: usize = 7;

type Commits = Vec<(u64, Vec<u8>)>;

/// The folder of each input's log.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let parent = if Path::new(MEMORY).is_dir() { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
    parent.join(format!("millpond-fuzz-{}", std::process::id()))
});

/// Two segments as they are written, and what was committed.
static WRITTEN: LazyLock<([Vec<u8>; 2], Commits)> = LazyLock::new(|| {
    let commits: Commits = [&b"one"[..], b"two\xFFMP\xFE", b"three", b"four", b"", b"the sixth commit", &[b'x'; 600]]
        .into_iter()
        .enumerate()
        .map(|(index, payload)| (index as u64 + 1, payload.to_vec()))
        .collect();
    empty();
    let (mut log, _) = Log::open(options(), 0, |_| Ok(())).expect("an empty folder can be opened");
    for (number, payload) in &commits {
        if *number == SECOND {
            log.rotate().expect("a segment can be made");
        }
        log.append(&frame(payload, *number)).expect("a frame can be appended");
    }
    ([1, SECOND].map(|first| fs::read(file(first)).expect("it was written")), commits)
});

/// The first commit of the second segment.
const SECOND: u64 = 4;

/// An odd first byte: the rest changes a log that was written. An even one: the rest is a segment,
/// whole as it is, or without the header, which is put before it.
pub fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    fs::create_dir_all(&*DIR).expect("a folder can be made");
    if kind % 2 == 1 {
        changed(rest)
    } else {
        invented(kind & 2 != 0, rest)
    }
    fs::remove_dir_all(&*DIR).expect("nobody else is in it");
}

fn changed(edits: &[u8]) {
    let (written, commits) = &*WRITTEN;
    let mut segments = written.clone();
    for edit in edits.chunks_exact(EDIT_BYTES).take(EDITS_MAX) {
        apply(&mut segments[usize::from(edit[0] & 1)], edit);
    }
    empty();
    for (first, segment) in [1, SECOND].into_iter().zip(&segments) {
        fs::write(file(first), segment).expect("it can be written");
    }
    let (found, opened) = reopened();
    assert_eq!(found[..], commits[..found.len()], "a commit was invented");
    let is_short = found.len() < SECOND as usize - 1;
    assert!(opened.is_err() || !is_short, "cut before the last segment");
}

/// Kind, from where, how many bytes, and a seed.
fn apply(bytes: &mut Vec<u8>, edit: &[u8]) {
    let from = below([edit[1], edit[2]], bytes.len() + 1);
    let range = from..bytes.len().min(from + below([edit[3], edit[4]], 700));
    match edit[0] >> 1 & 7 {
        0 => bytes[range].fill(edit[5]),
        1 => drop(bytes.drain(range)),
        2 => {
            let copy = bytes[range.clone()].to_vec();
            bytes.splice(range.end..range.end, copy);
        }
        3 => bytes[range].reverse(),
        4 => bytes.truncate(from),
        5 => bytes.extend(std::iter::repeat_n(edit[5], range.len())),
        6 => {
            let turned = &mut bytes[from.min(below([edit[5], edit[6]], 1_000))..];
            turned.rotate_left(range.len().min(turned.len()));
        }
        _ => bytes[range].iter_mut().take(1).for_each(|byte| *byte ^= edit[5].max(1)),
    }
}

/// A frame each 0xFF apart, so that an input need not know how frames are sealed.
fn invented(whole: bool, rest: &[u8]) {
    let mut segment = Vec::new();
    if whole {
        segment.extend_from_slice(rest);
    } else {
        segment.extend_from_slice(&WRITTEN.0[0][..32]);
        for (index, payload) in rest.split(|byte| *byte == 0xFF).enumerate() {
            match payload.split_first() {
                Some((0xFE, raw)) => segment.extend_from_slice(raw),
                _ => segment.extend_from_slice(&frame(payload, index as u64 + 1)),
            }
        }
    }
    empty();
    fs::write(file(1), segment).expect("it can be written");
    let _ = reopened();
}

/// What checking and opening find: the same, and once more after opening.
fn reopened() -> (Commits, Result<Recovery, Error>) {
    let mut commits = Commits::new();
    let looked = check(&DIR, 0, keep(&mut commits));
    let before = names();
    let mut found = Commits::new();
    let opened = Log::open(options(), 0, keep(&mut found));
    assert_eq!(commits, found, "checking and opening find different commits");
    match (&looked, opened) {
        (Ok(looked), Ok((log, recovery))) => {
            assert_eq!(*looked, recovery);
            assert_eq!(log.next_commit(), recovery.last_commit + 1);
            drop(log);
            let mut again = Commits::new();
            let (mut log, recovery) = Log::open(options(), 0, keep(&mut again)).expect("what was opened can be");
            assert!(recovery.torn.is_none() && again == commits, "opening left something to be cut");
            log.append(&frame(b"one more", log.next_commit())).expect("it can be appended to");
        }
        (Err(_), Err(_)) => assert_eq!(names(), before, "refusing changed a file"),
        (looked, opened) => panic!("checking says {looked:?}, opening {opened:?}"),
    }
    (commits, looked)
}

fn keep(commits: &mut Commits) -> impl FnMut(Commit<'_>) -> Result<(), Error> {
    |commit| {
        commits.push((commit.number, commit.payload.to_vec()));
        Ok(())
    }
}

fn names() -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(&*DIR).expect("it is a folder").map(|entry| entry.expect("it is there").path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).expect("it is a file"))).collect();
    files.sort();
    files
}

fn empty() {
    for (path, _) in names() {
        fs::remove_file(path).expect("it can be removed");
    }
}

fn options() -> LogOptions {
    LogOptions { dir: DIR.clone(), sync: Sync::Never }
}

fn file(first: u64) -> PathBuf {
    DIR.join(format!("{first:020}.log"))
}

fn frame(payload: &[u8], number: u64) -> Vec<u8> {
    let mut buffer = Vec::new();
    let start = Log::begin_frame(&mut buffer);
    buffer.extend_from_slice(payload);
    Log::seal_frame(&mut buffer, start, number).expect("it is small");
    buffer
}
