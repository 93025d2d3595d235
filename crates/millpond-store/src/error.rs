//! What can go wrong in the store. Each message says where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use millpond_core::{Faults, Position, Rejection};

/// A failure of the store. Nothing that failed was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a file operation.
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is not as it was written.
    #[error(
        "{file} is damaged at byte {offset}: {what}; nothing was changed. Restore the data folder from a copy, or run the files of events again into a new one",
        file = .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file lies among the log's segments and is none.
    #[error(
        "{file} is not a segment of the log, whose names are 20 digits and `.log`; nothing was changed. Move it out of the folder",
        file = .file.display()
    )]
    NotASegment {
        /// The file.
        file: PathBuf,
    },
    /// A value in the store cannot be read, though its checksum is right.
    #[error("{what} is unreadable: the store is damaged, or was written by a newer millpond")]
    Unreadable {
        /// The value.
        what: String,
    },
    /// A stored row is no event any more.
    #[error("key `{key}`, row {position}: {source}; the store is damaged, or was written by a newer millpond")]
    Row {
        /// The key.
        key: String,
        /// The row, or where folding had come to.
        position: Position,
        /// What is wrong with it.
        source: Rejection,
    },
    /// A file of a later version.
    #[error(
        "{file} has format {found}, this millpond knows up to {known}: it was made by a newer millpond, use that",
        file = .file.display()
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The highest known one.
        known: u32,
    },
    /// An earlier failure stopped the store for good.
    #[error("the store has stopped: {reason}. What was acknowledged is safe; mend the cause and start again")]
    Stopped {
        /// The first failure.
        reason: String,
    },
    /// A commit larger than a frame of the log may be.
    #[error("a commit of {bytes} bytes is too large; at most {max}: use smaller batches")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes to append are not the next commit's sealed frame. Nothing was written.
    #[error("the bytes to append are not the sealed frame of commit {expected}; this is a bug in millpond")]
    WrongFrame {
        /// The next commit.
        expected: u64,
    },
    /// The tables failed.
    #[error("the tables in {path} failed: {}", innermost(source), path = .path.display())]
    Tables {
        /// Their folder.
        path: PathBuf,
        /// Their answer.
        source: Box<fjall::Error>,
    },
    /// Another process has the data folder.
    #[error("data folder {dir} is in use by {holder}: wait for it, or use another folder", dir = .dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// There is no data folder.
    #[error("there is no data folder {dir}; `millpond run` makes one", dir = .dir.display())]
    NoData {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// There is no such join.
    #[error("the data folder has no join `{name}`{}", known_joins(.known))]
    NoJoin {
        /// The name.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// The stored definition cannot be read by this version.
    #[error("the definition stored in {dir} is not understood: {faults}", dir = .dir.display())]
    StoredDefinition {
        /// The join's folder.
        dir: PathBuf,
        /// What is wrong with it.
        faults: Faults,
    },
    /// A changed definition would need rows that are gone.
    #[error(
        "the definition of `{name}` has changed, but the history of {trimmed_keys} of its keys is trimmed, so their views cannot be made anew. Keep the definition as it was (`definition.toml` in the join's folder); or give the changed one another name or another data folder, and run all files of events into it"
    )]
    Incomplete {
        /// The join.
        name: String,
        /// Keys with trimmed rows.
        trimmed_keys: u64,
    },
    /// A changed definition would lose stored events.
    #[error(
        "the definition of `{name}` no longer names {}, of which {rows} events are stored: they would be gone; name the types again, or let them go with `millpond rebuild --drop-unnamed`",
        types.join(", ")
    )]
    WouldDrop {
        /// The join.
        name: String,
        /// The types.
        types: Vec<String>,
        /// Their stored events.
        rows: u64,
    },
}

/// fjall's own words are its values' debug form; what the system said lies inside.
fn innermost(error: &fjall::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(system) => system.to_string(),
        None => cause.to_string(),
    }
}

impl Error {
    /// For `map_err`: `what` is a verb, as in "cannot read".
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

fn known_joins(known: &[String]) -> String {
    match known {
        [] => ": it has none".to_owned(),
        known => format!(": it has {}", known.join(", ")),
    }
}
