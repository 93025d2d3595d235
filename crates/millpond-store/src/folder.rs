//! The data folder: one sub-folder a join, and one process at a time.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Names the process that has the folder.
const LOCK_FILE: &str = "LOCK";
/// A sub-folder is a join if it has this file.
const MANIFEST_FILE: &str = "MANIFEST";
/// The definition's text.
const DEFINITION_FILE: &str = "definition.toml";
/// What a join's folder is called while it is removed: `NAME.removed`.
const REMOVED: &str = "removed";
/// In the folder of a join that somebody does not want to be served any more; it is empty.
const SET_ASIDE_FILE: &str = "removed";
/// The version of everything below a join's folder.
const FORMAT: u32 = 1;

/// A data folder, held by this process until dropped.
#[derive(Debug)]
pub struct DataFolder {
    dir: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Takes the folder, making it if it is not there.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it; otherwise if it cannot be written.
    pub fn open_or_create(dir: &Path) -> Result<Self, Error> {
        if !dir.exists() {
            fs::create_dir_all(dir).map_err(Error::io("make the data folder", dir))?;
            sync_dir(&dir.join(".."))?; // its name, too, must outlast a power cut
        }
        Self::take(dir)
    }

    /// Takes a folder that is there.
    ///
    /// # Errors
    /// As [`DataFolder::open_or_create`], and [`Error::NoData`] if there is none.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        if dir.exists() && !dir.is_dir() {
            return Err(Error::io("open as a data folder", dir)(std::io::ErrorKind::NotADirectory.into()));
        }
        if !dir.exists() {
            return Err(Error::NoData { dir: dir.to_owned() });
        }
        Self::take(dir)
    }

    fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = open.map_err(Error::io("write", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder); // only for the message
                return Err(Error::InUse { dir: dir.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
        let holder = format!("process {}\n", std::process::id());
        lock.set_len(0).and_then(|()| lock.write_all(holder.as_bytes())).map_err(Error::io("write", &path))?;
        let folder = Self { dir: dir.to_owned(), _lock: lock };
        folder.finish_removals()?;
        Ok(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names of the joins in it, sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn joins(&self) -> Result<Vec<String>, Error> {
        let failed = Error::io("read", &self.dir);
        let entries = fs::read_dir(&self.dir).map_err(failed)?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| self.dir.join(name).join(MANIFEST_FILE).is_file())
            .filter_map(|name| self.join_of(&name).map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The join in a sub-folder. A rebuild that a crash left between its renames is one already:
    /// opening it ends that.
    fn join_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rebuilt = name.strip_suffix(".rebuild").filter(|join| !self.join_dir(join).exists());
        Some(rebuilt.unwrap_or(name)).filter(|join| !join.contains('.'))
    }

    /// Removes a join and all that is stored of it. No store of it may be open.
    ///
    /// # Errors
    /// If its files cannot be removed; what is left is removed when the folder is opened next.
    pub fn remove_join(&self, name: &str) -> Result<(), Error> {
        let dir = self.join_dir(name);
        if !self.joins()?.iter().any(|join| join == name) {
            return Ok(());
        }
        let removed = dir.with_extension(REMOVED);
        fs::rename(&dir, &removed).map_err(Error::io("rename", &dir))?;
        sync_dir(&self.dir)?;
        fs::remove_dir_all(&removed).map_err(Error::io("remove", &removed))
    }

    /// Whether a server leaves a join alone that is stored.
    #[must_use]
    pub fn is_set_aside(&self, name: &str) -> bool {
        self.join_dir(name).join(SET_ASIDE_FILE).exists()
    }

    /// Remembers whether a server is to leave a join alone that is stored. Its store may be open.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn set_aside(&self, name: &str, aside: bool) -> Result<(), Error> {
        let dir = self.join_dir(name);
        let path = dir.join(SET_ASIDE_FILE);
        if path.exists() == aside {
            return Ok(());
        }
        let done = if aside { File::create(&path).map(drop) } else { fs::remove_file(&path) };
        done.map_err(Error::io("write", &path))?;
        sync_dir(&dir)
    }

    /// Ends removals that a crash broke off.
    fn finish_removals(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))? {
            let path = entry.map_err(Error::io("read", &self.dir))?.path();
            if path.extension().is_some_and(|extension| extension == REMOVED) {
                fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The folder of a join. Names have no dots; what has one is a rebuild under way.
    #[must_use]
    pub fn join_dir(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Makes a new join's folder, which is no join until it has its manifest.
pub(crate) fn create(dir: &Path, definition: &str) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
    write_definition(dir, definition)
}

/// What is known of a join before it is opened.
pub(crate) struct Stored {
    /// The definition's text.
    pub(crate) definition: String,
    /// Tells it from another join of the same name, made before or after; 0 in older folders.
    pub(crate) history: u64,
}

/// A number that no other join has.
pub(crate) fn new_history() -> u64 {
    // Hash maps are seeded by chance, and this asks for nothing more.
    RandomState::new().build_hasher().finish()
}

/// Makes the folder a join: from now on its log must be there.
pub(crate) fn write_manifest(dir: &Path, history: u64) -> Result<(), Error> {
    let text = format!("millpond-store {FORMAT}\nhistory {history:016x}\n");
    write_durably(&dir.join(MANIFEST_FILE), sealed(&text).as_bytes())
}

/// Puts another text in place of the definition's.
pub(crate) fn write_definition(dir: &Path, definition: &str) -> Result<(), Error> {
    write_durably(&dir.join(DEFINITION_FILE), sealed(definition).as_bytes())
}

/// What the last line of a sealed text begins with.
const SEAL: &str = "# crc32c ";

/// A text with a last line by which it is known to be as it was written.
fn sealed(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}{SEAL}{:08x}\n", crc32c::crc32c(text.as_bytes()))
}

/// Reads [`sealed`]; a text without a seal, as older versions wrote it, is taken as it is.
fn read_sealed(file: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(file).map_err(Error::io("read", file))?;
    let Some((before, sum)) = text.trim_end_matches('\n').rsplit_once(SEAL) else { return Ok(text) };
    let is_like = |text: &str| u32::from_str_radix(sum, 16) == Ok(crc32c::crc32c(text.as_bytes()));
    match before.strip_suffix('\n') {
        // It ended with a line, or was given an end.
        _ if is_like(before) => Ok(before.to_owned()),
        Some(without_end) if is_like(without_end) => Ok(without_end.to_owned()),
        _ => {
            let what = "it is not as it was written: its checksum is wrong".to_owned();
            Err(Error::Damaged { file: file.to_owned(), offset: 0, what })
        }
    }
}

/// The stored join; `None` if the folder is none yet.
pub(crate) fn read(dir: &Path) -> Result<Option<Stored>, Error> {
    let manifest = dir.join(MANIFEST_FILE);
    if !manifest.try_exists().map_err(Error::io("read", &manifest))? {
        return Ok(None);
    }
    let text = read_sealed(&manifest)?;
    let mut lines = text.lines();
    let format = lines.next().and_then(|line| line.strip_prefix("millpond-store ")?.parse::<u32>().ok());
    let history = lines.next().map_or(Some(0), |line| u64::from_str_radix(line.strip_prefix("history ")?, 16).ok());
    let history = match (format, history) {
        (Some(found), _) if found > FORMAT => {
            return Err(Error::NewerFormat { file: manifest, found, known: FORMAT });
        }
        (Some(FORMAT), Some(history)) => history,
        _ => {
            return Err(Error::Damaged {
                file: manifest,
                offset: 0,
                what: format!("`{}` is no manifest", text.trim()),
            });
        }
    };
    let definition = read_sealed(&dir.join(DEFINITION_FILE))?;
    Ok(Some(Stored { definition, history }))
}

/// Writes a whole file so that a crash leaves either the old or the new.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary).map_err(Error::io("write", &temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("rename", &temporary))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}
