//! Recognising an input: the digest of its first bytes.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3Default;

use super::READ_BYTES;

/// The xxh3-128 of the first `length` bytes; `None` if the input is shorter.
///
/// It equals [`Reader::digest`](super::Reader::digest) when that reader's offset is `length`.
///
/// # Errors
///
/// The source's own.
pub(crate) fn digest_of_prefix(source: impl Read, length: u64) -> io::Result<Option<u128>> {
    let mut prefix = source.take(length);
    let mut hasher = Xxh3Default::new();
    let mut chunk = vec![0; READ_BYTES];
    loop {
        match read_some(&mut prefix, &mut chunk)? {
            0 => return Ok((prefix.limit() == 0).then(|| hasher.digest128())),
            count => hasher.update(&chunk[..count]),
        }
    }
}

/// One read that was not interrupted; 0 at the end of the input.
pub(super) fn read_some(source: &mut impl Read, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
