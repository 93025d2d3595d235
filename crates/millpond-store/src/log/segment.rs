//! A segment: a file of the log, named by its first commit.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Torn;
use super::file::{LogFile, sync_dir};
use crate::error::Error;

/// Magic, format u32, first commit u64, 8 zero bytes, crc32c u32 of all before; little-endian.
/// Later formats keep this shape, so that older versions can name them.
pub(super) const HEADER_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"MILLPOND";
/// The format of header and frames.
const FORMAT: u32 = 1;
/// As many as the largest u64 has, so that names sort as numbers do.
const NAME_DIGITS: usize = 20;
const EXTENSION: &str = "log";

/// A file of the log.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number of its first commit.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// What the start of a segment says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// What it should.
    Whole,
    /// Another format, of which nothing else is known.
    Newer(u32),
    /// Nothing that was ever written: why.
    Broken(&'static str),
}

/// The segments in a folder, in order. Other files are left alone, if they do not look like some.
pub(super) fn list(dir: &Path) -> Result<Vec<Segment>, Error> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("read the folder", dir))? {
        let entry = entry.map_err(Error::io("read the folder", dir))?;
        let path = entry.path();
        if path.extension() != Some(OsStr::new(EXTENSION)) {
            continue;
        }
        let Some(first) = first_commit(&path) else { return Err(Error::NotASegment { file: path }) };
        let bytes = match entry.metadata() {
            // Removed just now, beside a reader: it is not among them any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(Error::io("read", &path))?.len(),
        };
        segments.push(Segment { first, path, bytes });
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}

fn first_commit(path: &Path) -> Option<u64> {
    let digits = path.file_stem()?.to_str()?;
    let plain = digits.len() == NAME_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|first| plain && *first > 0)
}

/// Makes a segment, in a way that a crash leaves none, a part of its header, or all of it.
pub(super) fn create(dir: &Path, first: u64) -> Result<(Segment, LogFile), Error> {
    let path = dir.join(format!("{first:0NAME_DIGITS$}.{EXTENSION}"));
    let mut file = LogFile::create(&path)?;
    let bytes = write_header(&mut file, first)?;
    sync_dir(dir)?;
    Ok((Segment { first, path, bytes }, file))
}

/// Writes the header into an empty file, and returns its length.
fn write_header(file: &mut LogFile, first: u64) -> Result<u64, Error> {
    file.write(&header(first))?;
    file.sync()?;
    Ok(HEADER_BYTES as u64)
}

fn header(first: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..20].copy_from_slice(&first.to_le_bytes());
    seal(&mut header);
    header
}

fn seal(header: &mut [u8; HEADER_BYTES]) {
    let checksum = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&checksum.to_le_bytes());
}

impl Segment {
    /// Opens the last segment for appending, without the tail that a crash left.
    pub(super) fn reopen(&mut self, torn: Option<&Torn>) -> Result<LogFile, Error> {
        let mut file = LogFile::reopen(&self.path)?;
        let Some(torn) = torn else { return Ok(file) };
        file.cut(torn.offset)?;
        self.bytes = match torn.offset {
            0 => write_header(&mut file, self.first)?,
            whole => whole,
        };
        file.sync()?;
        Ok(file)
    }

    /// Reads the whole file: one segment in memory at a time is bounded by where the caller rotates.
    pub(super) fn read_into(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        bytes.clear();
        let read = File::open(&self.path).and_then(|mut file| file.read_to_end(bytes));
        read.map(|_| ()).map_err(Error::io("read", &self.path))
    }

    /// What the first of the file's `bytes` say.
    pub(super) fn read_header(&self, bytes: &[u8]) -> Header {
        let Some(found) = bytes.first_chunk::<HEADER_BYTES>() else { return Header::Broken("its header is cut short") };
        let mut sealed = *found;
        seal(&mut sealed);
        if !found.starts_with(MAGIC) || sealed != *found {
            return Header::Broken("its header is not whole");
        }
        let format = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
        match format {
            FORMAT if *found == header(self.first) => Header::Whole,
            FORMAT => Header::Broken("its header names another first commit than the file's name"),
            _ => Header::Newer(format),
        }
    }

    pub(super) fn newer(&self, found: u32) -> Error {
        Error::NewerFormat { file: self.path.clone(), found, known: FORMAT }
    }

    pub(super) fn damaged(&self, offset: usize, what: String) -> Error {
        Error::Damaged { file: self.path.clone(), offset: offset as u64, what }
    }
}
