//! Where the commands work: each is written once, over what a data folder and a server both do.

mod served;
mod stored;

use std::path::PathBuf;

use anyhow::Result;
use millpond_client::Views;
use millpond_client::wire::{
    Erased, EventPage, Explained, LateChoice, LatePage, QuarantinePage, Retried, Snapshotted, Stats, Verified,
};
use millpond_store::DataFolder;

pub(super) use self::served::Server;
use self::stored::Stored;
use super::now;
use crate::cli::target::Target;
use crate::exit::Wrong;

/// Entries of a page: each may be as long as an event.
const PAGE: usize = 256;
/// Views of a page.
const VIEWS: usize = 1_000;
/// Keys of one commit.
const KEYS: usize = 64;

/// A data folder, or a server.
pub(super) enum Place {
    Folder(DataFolder),
    Server(Server),
}

/// One join of a place.
pub(super) trait AtJoin {
    /// The document of a key, now or as it was.
    fn document(&self, key: &str, at_ms: Option<u64>) -> Result<String>;
    /// A page of documents, in the order of keys.
    fn documents(&self, which: &Views, after: Option<&str>) -> Result<Page>;
    /// A page of keys.
    fn keys(&self, after: Option<&str>) -> Result<Page>;
    /// A page of the stored events of a key.
    fn history(&self, key: &str, after: Option<&str>) -> Result<EventPage>;
    /// Why a view is what it is.
    fn explained(&self, key: &str) -> Result<Explained>;
    /// Closes what can be closed of keys that have views.
    fn snapshot(&self, keys: &[String]) -> Result<Vec<Snapshotted>>;
    /// Deletes what snapshots cover, of a key.
    fn trim(&self, key: &str) -> Result<u64>;
    /// The same of all keys: how many keys there are, and how many events went.
    fn trim_all(&self) -> Result<(u64, u64)>;
    /// After many changes: so that the next opening has nothing to replay.
    fn settle(&self) -> Result<()>;
    fn late(&self, key: Option<&str>, after: Option<&str>) -> Result<LatePage>;
    fn late_accept(&self, choice: &LateChoice) -> Result<u64>;
    fn late_drop(&self, choice: &LateChoice) -> Result<u64>;
    fn quarantine(&self, after: Option<&str>) -> Result<QuarantinePage>;
    /// The bytes of an entry.
    fn quarantined(&self, id: &str) -> Result<Vec<u8>>;
    /// One entry, or all.
    fn quarantine_retry(&self, id: Option<&str>) -> Result<Retried>;
    fn quarantine_drop(&self, id: Option<&str>) -> Result<u64>;
    fn stats(&self) -> Result<Stats>;
    fn verify(&self, progress: &dyn Fn(u64)) -> Result<Verified>;
    /// Removes everything that is stored of a key.
    fn erase(&self, key: &str) -> Result<Erased>;
}

/// Texts, and what to ask for the next page with.
pub(super) struct Page {
    pub(super) texts: Vec<String>,
    pub(super) next: Option<String>,
}

/// Which place is meant.
enum Meant {
    Folder(PathBuf),
    Server(String),
}

impl Place {
    pub(super) fn open(target: &Target) -> Result<Self> {
        Ok(match meant(target)? {
            Meant::Folder(path) => Self::Folder(DataFolder::open(&path)?),
            Meant::Server(url) => Self::Server(Server::at(&url, &target.credentials)?),
        })
    }

    /// The same, but a data folder that is not there is made.
    pub(super) fn open_or_create(target: &Target) -> Result<Self> {
        match meant(target)? {
            Meant::Folder(path) => Ok(Self::Folder(DataFolder::open_or_create(&path)?)),
            Meant::Server(_) => Self::open(target),
        }
    }

    /// A join that is there.
    pub(super) fn join<'p>(&'p self, target: &Target, name: &str) -> Result<Box<dyn AtJoin + 'p>> {
        Ok(match self {
            Self::Folder(folder) => Box::new(Stored::open(folder, name, now(target))?),
            Self::Server(server) => Box::new(server.join(name)),
        })
    }

    pub(super) fn joins(&self) -> Result<Vec<String>> {
        match self {
            Self::Folder(folder) => Ok(folder.joins()?),
            Self::Server(server) => server.joins(),
        }
    }
}

/// What is said on the command line counts before what the environment says.
fn meant(target: &Target) -> Result<Meant> {
    match (&target.data, &target.server) {
        (Some(data), _) => return Ok(Meant::Folder(data.clone())),
        (None, Some(server)) => return Ok(Meant::Server(server.clone())),
        (None, None) => {}
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    match (set("MILLPOND_DATA"), set("MILLPOND_SERVER")) {
        (Some(data), None) => Ok(Meant::Folder(data.into())),
        (None, Some(server)) => match server.into_string() {
            Ok(url) => Ok(Meant::Server(url)),
            Err(_) => Err(Wrong("MILLPOND_SERVER is no text; expected a URL".into()).into()),
        },
        (Some(_), Some(_)) => {
            Err(Wrong("MILLPOND_DATA and MILLPOND_SERVER are both set: say which with --data or --server".into()).into())
        }
        (None, None) => Err(Wrong(
            "say where: --data DIR (or MILLPOND_DATA) for a data folder, --server URL (or MILLPOND_SERVER) for a server; see --help"
                .into(),
        )
        .into()),
    }
}

/// Says where, for a command line to continue with.
pub(super) fn shown(target: &Target) -> String {
    match meant(target) {
        Ok(Meant::Folder(path)) => format!("--data {}", path.display()),
        Ok(Meant::Server(url)) => format!("--server {url}"),
        Err(_) => String::new(),
    }
}

/// Every text of every page.
pub(super) fn each_page(
    page: impl Fn(Option<&str>) -> Result<Page>,
    mut each: impl FnMut(Vec<String>) -> Result<()>,
) -> Result<()> {
    let mut after = None;
    loop {
        let Page { texts, next } = page(after.as_deref())?;
        each(texts)?;
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
