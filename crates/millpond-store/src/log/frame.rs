//! A frame: one commit as it lies in a segment.

use memchr::memmem;

use super::Log;
use crate::error::Error;

/// The most bytes that a commit may have: 1 GiB. What claims more is no frame.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Begins every frame. 0xFF and 0xFE do not occur in UTF-8, so no event's text can hold it.
const MARK: [u8; 4] = [0xFF, b'M', b'P', 0xFE];

/// Mark, payload length u32, commit number u64, crc32c u32 of length, number and payload;
/// little-endian. Then the payload.
pub(super) const HEADER_BYTES: usize = 20;

/// One commit, where it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit<'a> {
    /// Its number. The first is 1, and none is left out.
    pub number: u64,
    /// What was committed.
    pub payload: &'a [u8],
}

/// Where an unsealed frame starts in its buffer.
#[derive(Debug)]
pub struct FrameStart(usize);

impl Log {
    /// Starts a frame at the end of `buffer`; its payload is whatever is pushed from here on.
    ///
    /// The header is written into the caller's buffer, so that the payload goes to disk from where
    /// it was built.
    pub fn begin_frame(buffer: &mut Vec<u8>) -> FrameStart {
        let start = FrameStart(buffer.len());
        buffer.extend_from_slice(&[0; HEADER_BYTES]);
        start
    }

    /// Ends the frame at the end of `buffer`. From its start on, `buffer` is what
    /// [`Log::append`] takes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`PAYLOAD_BYTES_MAX`].
    pub fn seal_frame(buffer: &mut [u8], start: FrameStart, commit: u64) -> Result<(), Error> {
        let (header, payload) =
            buffer[start.0..].split_first_chunk_mut::<HEADER_BYTES>().expect("begin_frame pushed a header");
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLarge { bytes: payload.len(), max: PAYLOAD_BYTES_MAX });
        }
        header[..4].copy_from_slice(&MARK);
        header[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes()); // fits: 1 GiB at most
        header[8..16].copy_from_slice(&commit.to_le_bytes());
        let checksum = checksum(&header[4..16], payload);
        header[16..].copy_from_slice(&checksum.to_le_bytes());
        Ok(())
    }
}

fn checksum(length_and_number: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(length_and_number), payload)
}

/// What the start of a frame says, true or not.
struct Header {
    payload_bytes: usize,
    number: u64,
    checksum: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or("it is cut short")?;
        let (mark, rest) = header.split_first_chunk::<4>().expect("20 bytes have 4");
        let (length, rest) = rest.split_first_chunk::<4>().expect("16 bytes have 4");
        let (number, checksum) = rest.split_first_chunk::<8>().expect("12 bytes have 8");
        if *mark != MARK {
            return Err("no frame begins here");
        }
        let payload_bytes = u32::from_le_bytes(*length) as usize;
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err("its length is impossible");
        }
        let checksum = u32::from_le_bytes(checksum.try_into().expect("12 bytes without 8 are 4"));
        Ok(Self { payload_bytes, number: u64::from_le_bytes(*number), checksum })
    }

    fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes
    }
}

/// The commit whose frame starts at the first of `bytes`, or why there is none.
pub(super) fn read(bytes: &[u8]) -> Result<Commit<'_>, &'static str> {
    let header = Header::read(bytes)?;
    let frame = bytes.get(..header.frame_bytes()).ok_or("it is cut short")?;
    let payload = &frame[HEADER_BYTES..];
    if checksum(&frame[4..16], payload) != header.checksum {
        return Err("its checksum is wrong");
    }
    Ok(Commit { number: header.number, payload })
}

/// How long the frame is that `bytes` begin with, by its header.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    Header::read(bytes).ok().map(|header| header.frame_bytes())
}

/// Whether `bytes` look like one sealed frame of this commit; the checksum is taken on trust.
pub(super) fn is_sealed(bytes: &[u8], number: u64) -> bool {
    Header::read(bytes).is_ok_and(|header| header.number == number && header.frame_bytes() == bytes.len())
}

/// The first whole frame in `bytes` of commit `from` or a later one, and its offset.
///
/// Older ones do not count: a file system may give a file blocks of a removed segment in a crash.
/// Only a true frame's header costs more than a look, so this is one pass, whatever was damaged.
pub(super) fn find(bytes: &[u8], from: u64) -> Option<(usize, u64)> {
    memmem::find_iter(bytes, &MARK).find_map(|offset| {
        let commit = read(&bytes[offset..]).ok()?;
        (commit.number >= from).then_some((offset, commit.number))
    })
}

/// How long the frame of commit `number` was, whose payload is not whole; `None` if its header is
/// not whole either.
///
/// The length lies between the mark and the number: if both are right, so is it, since a crash
/// leaves sectors old or new.
pub(super) fn written_bytes(bytes: &[u8], number: u64) -> Option<usize> {
    let header = Header::read(bytes).ok().filter(|header| header.number == number)?;
    Some(header.frame_bytes())
}
