//! Folders for a while: in memory, if the system has such a place with room enough.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::statvfs;
use tempfile::TempDir;

/// How much must be free there: containers often have 64 MiB of it in all.
const ROOM_BYTES_MIN: u64 = 1 << 30;

/// A new folder, which goes when it is dropped.
///
/// # Errors
/// If none can be made.
pub fn scratch() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let has_room = statvfs(memory).is_ok_and(|system| system.f_bavail * system.f_frsize >= ROOM_BYTES_MIN);
    if has_room { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.context("cannot make a folder")
}
