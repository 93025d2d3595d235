//! The arrival-order log: every commit is one checksummed frame, durable before it is acknowledged.
//!
//! Segments are named by their first commit; commits are numbered from 1, without gaps. A frame
//! that is not whole is forgiven only where a crash leaves it, at the very end; anywhere else it is
//! damage, and opening refuses without changing anything.
//!
//! What it cannot tell: a last commit that was damaged after it was acknowledged looks like one
//! that a crash broke off, and is cut too. [`Recovery::torn`] says so whenever something is cut.

mod file;
mod frame;
mod reader;
mod recover;
mod segment;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;

pub use frame::{Commit, FrameStart, PAYLOAD_BYTES_MAX};
pub(crate) use reader::{FramePlace, read_commits};
pub use recover::{Recovery, Torn, check};

use crate::error::Error;
use crate::sync;
use file::{LogFile, make_dir, settle, sync_dir};
use segment::Segment;

/// Whether an append waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// An append returns when its frame is on disk.
    Every,
    /// An append returns when the system has its frame: only where its source can be read again.
    /// It survives the process, not a power cut; after one, opening may find damage.
    Never,
}

/// Where the log lies, and how durable it is.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The folder of the segments.
    pub dir: PathBuf,
    /// When an append returns.
    pub sync: Sync,
}

/// Segments that the log does not know any more, and whose files are still there: a log that is
/// opened meanwhile takes them back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Forgotten {
    dir: PathBuf,
    paths: Vec<PathBuf>,
}

impl Forgotten {
    /// Removes the files.
    ///
    /// # Errors
    /// If one cannot be removed; the younger ones are still there.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        // The oldest first, so that a crash in between leaves no gap.
        for path in &self.paths {
            sync::disk();
            fs::remove_file(path).map_err(Error::io("remove", path))?;
        }
        if self.paths.is_empty() { Ok(()) } else { sync_dir(&self.dir) }
    }
}

/// A log that was read, and is not yet changed.
#[derive(Debug)]
pub struct Found {
    options: LogOptions,
    segments: Vec<Segment>,
    recovery: Recovery,
}

impl Found {
    /// Refuses a log that ends before a commit of which the tables know: it was durable, so that what looks
    /// like the tail that a crash broke off is damage.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn must_reach(&self, commit: u64) -> Result<(), Error> {
        let Recovery { last_commit, torn, .. } = &self.recovery;
        if *last_commit >= commit {
            return Ok(());
        }
        let what = format!("the log ends here, with commit {last_commit}, but the tables know of commit {commit}");
        let Some(last) = self.segments.last() else {
            return Err(Error::Damaged { file: self.options.dir.clone(), offset: 0, what });
        };
        let offset = torn.as_ref().map_or(last.bytes, |torn| torn.offset);
        Err(last.damaged(offset as usize, what))
    }

    /// Opens the log for appending, without the tail that a crash broke off. One without segments
    /// gets its first.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn open(mut self) -> Result<(Log, Recovery), Error> {
        let next_commit = self.recovery.last_commit + 1;
        let file = match self.segments.last_mut() {
            Some(last) => last.reopen(self.recovery.torn.as_ref())?,
            None => {
                let (first, file) = segment::create(&self.options.dir, next_commit)?;
                self.segments.push(first);
                file
            }
        };
        let Self { options, segments, recovery } = self;
        Ok((Log { options, segments, file, next_commit, stopped: None }, recovery))
    }
}

/// The log, open for appending. Only one may be open in a folder.
///
/// After any failure it is stopped: whether the bytes are on disk is unknown, and a sync that
/// failed once must not be believed when it succeeds later. Opening anew finds out.
#[derive(Debug)]
pub struct Log {
    options: LogOptions,
    /// In order; the last is appended to.
    segments: Vec<Segment>,
    file: LogFile,
    next_commit: u64,
    /// The first failure.
    stopped: Option<String>,
}

impl Log {
    /// Reads the log, handing every whole commit above `after` to `replay`, in order.
    ///
    /// All segments that hold such commits are read, and the last; older ones are not.
    ///
    /// # Errors
    /// [`Error::Damaged`] if anything but the tail is not whole, [`Error::NewerFormat`],
    /// [`Error::NotASegment`], or whatever `replay` answers. Then nothing was changed.
    pub fn read(
        options: LogOptions,
        after: u64,
        replay: impl FnMut(Commit<'_>) -> Result<(), Error>,
    ) -> Result<Found, Error> {
        make_dir(&options.dir)?;
        let segments = segment::list(&options.dir)?;
        if let (Some(last), Sync::Every) = (segments.last(), options.sync) {
            settle(&last.path)?;
            sync_dir(&options.dir)?;
            sync_dir(&options.dir.join(".."))?; // its maker may have been killed before it did
        }
        let recovery = recover::scan(&segments, after, replay)?;
        Ok(Found { options, segments, recovery })
    }

    /// Reads the log as [`Log::read`] does, and opens what was found.
    ///
    /// # Errors
    /// As there; and if the files cannot be written.
    pub fn open(
        options: LogOptions,
        after: u64,
        replay: impl FnMut(Commit<'_>) -> Result<(), Error>,
    ) -> Result<(Self, Recovery), Error> {
        Self::read(options, after, replay)?.open()
    }

    /// The number of the commit to be appended next.
    #[must_use]
    pub fn next_commit(&self) -> u64 {
        self.next_commit
    }

    /// Appends the sealed frame of the next commit and makes it durable.
    ///
    /// # Errors
    /// The first failure, and [`Error::Stopped`] ever after. [`Error::WrongFrame`] stops nothing.
    pub fn append(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.running()?;
        if !frame::is_sealed(frame, self.next_commit) {
            return Err(Error::WrongFrame { expected: self.next_commit });
        }
        let appended = self.write(frame);
        self.stop_if_failed(appended)?;
        self.current_mut().bytes += frame.len() as u64;
        self.next_commit += 1;
        Ok(())
    }

    /// A part of a frame is not cut off again: that could fail too, and opening does it anyway.
    fn write(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.file.write(frame)?;
        match self.options.sync {
            Sync::Every => self.file.sync(),
            Sync::Never => Ok(()),
        }
    }

    /// Starts a new segment, so that the older ones can be removed once they are not needed. One
    /// that is still empty is kept.
    ///
    /// # Errors
    /// If it cannot be made; then the log is stopped, since a part of it may be there.
    pub fn rotate(&mut self) -> Result<(), Error> {
        self.running()?;
        if self.current().first == self.next_commit {
            return Ok(());
        }
        // Also for `Sync::Never`: only a last segment is ever forgiven a bad tail.
        let made = self.file.sync().and_then(|()| segment::create(&self.options.dir, self.next_commit));
        let (segment, file) = self.stop_if_failed(made)?;
        self.segments.push(segment);
        self.file = file;
        Ok(())
    }

    /// Removes the oldest segments all of whose commits are at or below `through`, as long as the
    /// log has more than `keep_bytes`; never the current one. Says how many.
    ///
    /// # Errors
    /// If a file cannot be removed; then the log is stopped.
    pub fn remove_through(&mut self, through: u64, keep_bytes: u64) -> Result<usize, Error> {
        self.running()?;
        let forgotten = self.forget_through(through, keep_bytes);
        let removed = forgotten.remove();
        self.stop_if_failed(removed)?;
        Ok(forgotten.paths.len())
    }

    /// As [`Log::remove_through`], but leaves the files to the caller: to remove a large one takes
    /// longer than a commit should wait.
    pub(crate) fn forget_through(&mut self, through: u64, keep_bytes: u64) -> Forgotten {
        let mut forgotten = Forgotten { dir: self.options.dir.clone(), paths: Vec::new() };
        while self.segments.get(1).is_some_and(|next| next.first <= through.saturating_add(1))
            && self.bytes() > keep_bytes
        {
            forgotten.paths.push(self.segments.remove(0).path);
        }
        forgotten
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Has the disk be full in the middle of the next frame.
    #[cfg(shuttle)]
    pub(crate) fn fill_disk(&mut self) {
        self.file.fault = Some(file::Fault::Full { taken: 20 });
    }

    fn current(&self) -> &Segment {
        self.segments.last().expect("opening makes a segment, and the last is never removed")
    }

    fn current_mut(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("opening makes a segment, and the last is never removed")
    }

    fn running(&self) -> Result<(), Error> {
        self.stopped.as_ref().map_or(Ok(()), |reason| Err(Error::Stopped { reason: reason.clone() }))
    }

    fn stop_if_failed<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| self.stopped = Some(error.to_string()))
    }
}
