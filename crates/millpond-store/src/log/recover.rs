//! Recovery: reads what is there, strictly, and changes nothing.

use std::path::{Path, PathBuf};

use super::frame::{self, Commit};
use super::segment::{self, HEADER_BYTES, Header, Segment};
use crate::error::Error;

/// What reading the log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Commits handed to the caller.
    pub commits_replayed: u64,
    /// The number of the last whole commit.
    pub last_commit: u64,
    /// What opening cut off the end, and checking would.
    pub torn: Option<Torn>,
}

/// The tail of a commit, or of an empty segment's header, that a crash broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub file: PathBuf,
    /// Where the last whole commit ends.
    pub offset: u64,
    /// How many bytes lie behind it.
    pub bytes: u64,
}

/// Reads the log as [`super::Log::open`] does, as strictly, and changes nothing.
///
/// # Errors
/// As there.
pub fn check(dir: &Path, after: u64, replay: impl FnMut(Commit<'_>) -> Result<(), Error>) -> Result<Recovery, Error> {
    scan(&segment::list(dir)?, after, replay)
}

/// Hands every whole commit above `after` to `replay`. One whole segment at a time is in memory.
pub(super) fn scan(
    segments: &[Segment],
    after: u64,
    replay: impl FnMut(Commit<'_>) -> Result<(), Error>,
) -> Result<Recovery, Error> {
    let Some(oldest) = segments.first() else {
        return Ok(Recovery { commits_replayed: 0, last_commit: after, torn: None });
    };
    let needed = after.saturating_add(1);
    if oldest.first > needed {
        let what = format!("commit {needed} should be next, but the log begins with commit {}", oldest.first);
        return Err(oldest.damaged(0, what));
    }
    let start = segments.partition_point(|segment| segment.first <= needed) - 1;
    let mut scan = Scan { after, expected: segments[start].first, replay, replayed: 0 };
    let (mut bytes, mut torn) = (Vec::new(), None);
    for (index, segment) in segments.iter().enumerate().skip(start) {
        segment.read_into(&mut bytes)?;
        let is_last = index + 1 == segments.len();
        let end = scan.segment(&Contents { segment, bytes: &bytes, is_last })?;
        let left = (bytes.len() - end) as u64;
        if is_last && scan.expected <= after {
            let what = format!("the log ends here, before commit {}, but was needed up to {after}", scan.expected);
            return Err(segment.damaged(end, what));
        }
        // Bytes are only left over in the last segment; a new file without its header counts too.
        torn = (left > 0 || end == 0).then(|| Torn { file: segment.path.clone(), offset: end as u64, bytes: left });
    }
    Ok(Recovery { commits_replayed: scan.replayed, last_commit: scan.expected - 1, torn })
}

struct Scan<R> {
    after: u64,
    /// The commit that has to come next.
    expected: u64,
    replay: R,
    replayed: u64,
}

/// A segment that was read.
struct Contents<'a> {
    segment: &'a Segment,
    bytes: &'a [u8],
    is_last: bool,
}

impl<R: FnMut(Commit<'_>) -> Result<(), Error>> Scan<R> {
    /// Reads one segment; returns where what is whole of it ends.
    fn segment(&mut self, contents: &Contents<'_>) -> Result<usize, Error> {
        let Contents { segment, bytes, .. } = *contents;
        if segment.first != self.expected {
            let what =
                format!("commit {} should be next, but this begins with commit {}", self.expected, segment.first);
            return Err(segment.damaged(0, what));
        }
        if !contents.has_header()? {
            return Ok(0);
        }
        let mut offset = HEADER_BYTES;
        while offset < bytes.len() {
            let commit = match frame::read(&bytes[offset..]) {
                Ok(commit) => commit,
                Err(flaw) => return contents.end_at(offset, self.expected, flaw),
            };
            if commit.number != self.expected {
                let what = format!("commit {} should be here, but this is commit {}", self.expected, commit.number);
                return Err(segment.damaged(offset, what));
            }
            if commit.number > self.after {
                (self.replay)(commit)?;
                self.replayed += 1;
            }
            self.expected += 1;
            offset += frame::HEADER_BYTES + commit.payload.len();
        }
        Ok(offset)
    }
}

impl Contents<'_> {
    /// Whether the header is whole, or else the file was just being made.
    fn has_header(&self) -> Result<bool, Error> {
        match self.segment.read_header(self.bytes) {
            Header::Whole => Ok(true),
            Header::Newer(format) => Err(self.segment.newer(format)),
            // A header is on disk before anything is written behind it.
            Header::Broken(_) if self.is_last && self.bytes.len() <= HEADER_BYTES => Ok(false),
            Header::Broken(flaw) => Err(self.segment.damaged(0, flaw.to_owned())),
        }
    }

    /// The log's end, if the bytes from `offset` on can be an append that a crash broke off.
    fn end_at(&self, offset: usize, expected: u64, flaw: &str) -> Result<usize, Error> {
        match self.proof_of_damage(offset, expected) {
            None => Ok(offset),
            Some(proof) => {
                Err(self.segment.damaged(offset, format!("commit {expected} should be here, but {flaw}, and {proof}")))
            }
        }
    }

    /// What shows that something was written after the broken frame at `offset`: before that, it
    /// was on disk as a whole.
    fn proof_of_damage(&self, offset: usize, expected: u64) -> Option<String> {
        let rest = &self.bytes[offset..];
        if !self.is_last {
            return Some("another segment follows".to_owned());
        }
        if let Some((distance, number)) = frame::find(rest, expected) {
            return Some(format!("commit {number} follows at byte {}", offset + distance));
        }
        let written = frame::written_bytes(rest, expected)?;
        (written < rest.len()).then(|| "more was written behind it".to_owned())
    }
}
