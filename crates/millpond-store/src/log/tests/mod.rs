//! The log's claims, each on a small log in a folder of its own.

mod crash;
mod damage;
mod disk;
mod opening;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Commit, Log, LogOptions, Recovery, Sync};
use crate::error::Error;

/// Commits as they come back: number and payload.
type Commits = Vec<(u64, Vec<u8>)>;

/// A log's folder, and what was committed into it.
struct Written {
    dir: tempfile::TempDir,
    commits: Commits,
}

impl Written {
    /// A log whose segments hold these payloads.
    fn segments(segments: &[&[&[u8]]]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path(), 0).unwrap();
        let mut commits = Commits::new();
        for segment in segments {
            log.rotate().unwrap();
            for payload in *segment {
                commits.push((log.next_commit(), payload.to_vec()));
                append(&mut log, payload).unwrap();
            }
        }
        Self { dir, commits }
    }

    /// Two segments of three commits. One payload holds what begins a frame.
    fn small() -> Self {
        Self::segments(&[&[b"one", b"two\xFFMP\xFE", b"three"], &[b"four", b"", b"the sixth commit"]])
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, first: u64) -> PathBuf {
        self.dir().join(format!("{first:020}.log"))
    }

    /// Puts other bytes in place of a segment. The file is not emptied first, for which ext4 would
    /// wait for the disk.
    fn replace(&self, first: u64, bytes: &[u8]) {
        let mut file = fs::OpenOptions::new().write(true).open(self.file(first)).unwrap();
        file.write_all(bytes).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    }

    fn bytes(&self, first: u64) -> Vec<u8> {
        fs::read(self.file(first)).unwrap()
    }

    /// Appends raw bytes to a segment.
    fn push(&self, first: u64, bytes: &[u8]) {
        self.replace(first, &[self.bytes(first), bytes.to_vec()].concat());
    }

    /// Where the frames of a segment begin, and where the last one ends.
    fn frame_offsets(&self, first: u64, payloads: &[usize]) -> Vec<usize> {
        let mut offsets = vec![32];
        offsets.extend(payloads.iter().scan(32, |end, payload| {
            *end += 20 + payload;
            Some(*end)
        }));
        assert_eq!(*offsets.last().unwrap(), self.bytes(first).len());
        offsets
    }

    /// Names and bytes of all files.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

fn options(dir: &Path, sync: Sync) -> LogOptions {
    LogOptions { dir: dir.to_owned(), sync }
}

/// Opens without waiting for the disk at each append, which is slow.
fn open(dir: &Path, after: u64) -> Result<(Log, Recovery), Error> {
    Log::open(options(dir, Sync::Never), after, |_| Ok(()))
}

/// Opens and collects what comes back.
fn reopen(dir: &Path, after: u64) -> Result<(Commits, Recovery), Error> {
    let mut commits = Commits::new();
    let (log, recovery) = Log::open(options(dir, Sync::Never), after, |commit| {
        commits.push((commit.number, commit.payload.to_vec()));
        Ok(())
    })?;
    assert_eq!(log.next_commit(), recovery.last_commit + 1);
    assert_eq!(recovery.commits_replayed, commits.len() as u64);
    Ok((commits, recovery))
}

fn frame(payload: &[u8], commit: u64) -> Vec<u8> {
    let mut buffer = Vec::new();
    let start = Log::begin_frame(&mut buffer);
    buffer.extend_from_slice(payload);
    Log::seal_frame(&mut buffer, start, commit).unwrap();
    buffer
}

fn append(log: &mut Log, payload: &[u8]) -> Result<(), Error> {
    log.append(&frame(payload, log.next_commit()))
}

/// The message of the damage that opening must find, having changed nothing.
fn damage(written: &Written, after: u64) -> String {
    let before = written.files();
    let error = reopen(written.dir(), after).expect_err("damage is refused");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(written.files() == before, "refusing changed a file");
    error.to_string()
}
