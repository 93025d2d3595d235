//! Reads durable commits of the log beside whoever appends to it.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::frame::{self, Commit};
use super::segment::{self, HEADER_BYTES};
use crate::error::Error;
use crate::sync;

/// How much is asked of a file at once.
const READ_BYTES: usize = 256 << 10;

/// Where a commit's frame begins, to find it again without looking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FramePlace {
    commit: u64,
    segment: u64,
    offset: u64,
}

/// Hands the commits from `from` to `through`, which are durable, to `each` for as long as it wants
/// them; `place` remembers where it came to. Whether the log still has them all.
///
/// # Errors
/// If a file cannot be read, or is not as it was written.
pub(crate) fn read_commits(
    dir: &Path,
    from: u64,
    through: u64,
    place: &mut Option<FramePlace>,
    mut each: impl FnMut(Commit<'_>) -> ControlFlow<()>,
) -> Result<bool, Error> {
    let mut next = from;
    while next <= through {
        sync::disk();
        let segments = segment::list(dir)?;
        sync::disk();
        let index = segments.partition_point(|segment| segment.first <= next);
        let Some(segment) = index.checked_sub(1).map(|index| &segments[index]) else { return Ok(false) };
        let file = match File::open(&segment.path) {
            // It was removed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(Error::io("read", &segment.path))?,
        };
        let known = place.filter(|place| place.segment == segment.first && place.commit == next);
        let mut frames =
            Frames { file, buffer: Vec::new(), start: known.map_or(HEADER_BYTES as u64, |known| known.offset), at: 0 };
        let mut expected = known.map_or(segment.first, |known| known.commit);
        let end = segments.get(index).map_or(through, |later| through.min(later.first - 1));
        while expected <= end {
            let offset = frames.offset();
            let commit = frames.next().map_err(Error::io("read", &segment.path))?;
            let Some(commit) = commit.filter(|commit| commit.number == expected) else {
                let what = format!("commit {expected} should be here");
                return Err(Error::Damaged { file: segment.path.clone(), offset, what });
            };
            if commit.number >= next {
                *place = Some(FramePlace { commit: commit.number, segment: segment.first, offset });
                if each(commit).is_break() {
                    return Ok(true);
                }
                next = expected + 1;
                *place = Some(FramePlace { commit: next, segment: segment.first, offset: frames.offset() });
            }
            expected += 1;
        }
    }
    Ok(true)
}

/// Frames of a file, one after the other.
struct Frames {
    file: File,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins, and where in the buffer the next frame does.
    start: u64,
    at: usize,
}

impl Frames {
    fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The next frame; `None` if what is there is none.
    fn next(&mut self) -> io::Result<Option<Commit<'_>>> {
        self.have(frame::HEADER_BYTES)?;
        let Some(bytes) = frame::length(&self.buffer[self.at..]) else { return Ok(None) };
        self.have(bytes)?;
        let at = self.at;
        self.at += bytes;
        Ok(self.buffer.get(at..).and_then(|bytes| frame::read(bytes).ok()))
    }

    /// Reads on until the buffer has so many bytes, or the file ends.
    fn have(&mut self, bytes: usize) -> io::Result<()> {
        if self.buffer.len() - self.at >= bytes {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.start += self.at as u64;
        self.at = 0;
        let mut filled = self.buffer.len();
        self.buffer.resize(bytes.max(READ_BYTES), 0);
        while filled < bytes {
            let read = self.file.read_at(&mut self.buffer[filled..], self.start + filled as u64)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}
