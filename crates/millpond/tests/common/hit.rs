//! What a kill -9 has hit.

use std::fs;
use std::path::Path;

use millpond_store::{DataFolder, Options, Store};

/// Where a kill hit, as far as the folder tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hit {
    /// There was no join yet.
    Making,
    /// A part of a commit was in the log.
    MidCommit,
    /// A memtable was being flushed: commits of an older segment than the newest were still needed.
    MidFlush,
    /// All events were in: the last flush, or the way out.
    Ending,
    /// None of these.
    Between,
}

impl Hit {
    /// Where the kill hit, by opening the folder here: it must be a copy that nobody else opens, since a program that
    /// another test is just starting may for a moment share this one's lock. What is found must be right.
    pub(crate) fn of(folder: &Path) -> Self {
        let log = folder.join("user-activity/log");
        let files = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
        let segments = files.filter(|path| path.extension() == Some("log".as_ref()));
        let commits = segments.map(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
        let newest = commits.max().unwrap();
        let of_newest = millpond_store::log::check(&log, newest - 1, |_| Ok(())).unwrap();
        let folder = DataFolder::open(folder).unwrap();
        let (store, opened) = Store::open(&folder, "user-activity", Options::default()).unwrap();
        assert_eq!(store.verify(|_| (), |_| ()).unwrap().differences, 0);
        match opened.torn {
            Some(_) => Self::MidCommit,
            None if opened.commits_replayed > of_newest.commits_replayed => Self::MidFlush,
            None => Self::Between,
        }
    }
}
