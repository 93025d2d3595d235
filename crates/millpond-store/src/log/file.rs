//! The file that commits are appended to: the one place where the log writes, and where tests can
//! make a disk fail.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::sync;

/// A segment open for appending.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    #[cfg(any(test, shuttle))]
    pub(super) fault: Option<Fault>,
}

/// What a test lets fail, once: a retry would succeed, so that one would be noticed.
#[cfg(any(test, shuttle))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The disk is full after so many bytes.
    Full { taken: usize },
    /// The disk does not confirm that it has the bytes.
    Sync,
}

impl LogFile {
    /// Makes a file that must not be there yet.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        Self::open(path, OpenOptions::new().append(true).create_new(true))
    }

    /// Opens a file that is there.
    pub(super) fn reopen(path: &Path) -> Result<Self, Error> {
        Self::open(path, OpenOptions::new().append(true))
    }

    fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        let file = options.open(path).map_err(Error::io("open", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            #[cfg(any(test, shuttle))]
            fault: None,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        sync::disk();
        #[cfg(any(test, shuttle))]
        if let Some(Fault::Full { taken }) = self.fault {
            self.fault = None;
            self.file.write_all(&bytes[..taken]).expect("the test's own disk takes it");
            return Err(Error::io("write", &self.path)(std::io::ErrorKind::StorageFull.into()));
        }
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }

    /// Returns when the disk has what was written, with the length that is needed to read it.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        sync::disk();
        #[cfg(any(test, shuttle))]
        if self.fault.take_if(|fault| *fault == Fault::Sync).is_some() {
            return Err(Error::io("sync", &self.path)(std::io::Error::other("input/output error")));
        }
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }

    /// Keeps only the first `bytes` of the file.
    pub(super) fn cut(&self, bytes: u64) -> Result<(), Error> {
        self.file.set_len(bytes).map_err(Error::io("cut", &self.path))
    }
}

/// Makes the log's folder if it is not there, and sees to it that it stays.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
    sync_dir(&dir.join(".."))
}

/// Returns when the disk has the names of the files in a folder.
pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

/// Makes sure that a file is read as the disk has it.
///
/// A killed process may have left bytes in the page cache only; they are written now, since
/// whoever reads them will take them for lasting. After a failed sync the cache may show bytes
/// that the disk never got; they are dropped, or the log would go on behind a hole.
pub(super) fn settle(path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    file.sync_all().map_err(Error::io("sync", path))?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(|errno| Error::io("drop from memory", path)(errno.into()))?;
    Ok(())
}
