//! The joins of a server, each with its store, the thread that commits to it, and its upkeep.

mod hosted;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use millpond_core::Join;
use millpond_store::{DataFolder, Error, Options, Rebuilt};

pub(crate) use hosted::{Hosted, Parcel};

/// Why a join does not answer now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// There is none of that name.
    #[error("there is no join `{name}`; `GET /v1/joins` lists those that are served")]
    NoJoin { name: String },
    /// It is being rebuilt: ask again later.
    #[error("the views of `{name}` are being made anew under a changed definition; try again when that is done")]
    Rebuilding { name: String },
    /// It was stopped by a failure, or the server is stopping.
    #[error("join `{name}` does not answer: {reason}")]
    Stopped { name: String, reason: String },
}

/// What putting a definition did.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) created: bool,
    pub(crate) rebuilt: Option<Rebuilt>,
}

/// All joins that are served.
pub(crate) struct Service {
    folder: DataFolder,
    options: Options,
    joins: RwLock<BTreeMap<String, Place>>,
}

#[derive(Clone)]
enum Place {
    Serving(Arc<Hosted>),
    Rebuilding,
}

impl Service {
    /// Opens the joins of the definitions, or all in the folder if none is given.
    pub(crate) fn open(folder: DataFolder, definitions: Vec<Join>, options: Options) -> Result<Arc<Self>, Error> {
        todo!()
    }

    /// The join of a name.
    pub(crate) fn join(&self, name: &str) -> Result<Arc<Hosted>, Refused> {
        todo!()
    }

    /// All joins that serve, in the order of names.
    pub(crate) fn serving(&self) -> Vec<Arc<Hosted>> {
        todo!()
    }

    /// All names, and the reason of those that do not answer.
    pub(crate) fn states(&self) -> Vec<(String, Result<Arc<Hosted>, Refused>)> {
        todo!()
    }

    /// Adds a join, or changes its definition; `rebuild` says whether its views may be made anew.
    /// Blocks for as long as that takes.
    pub(crate) fn put(&self, join: Join, rebuild: bool, drop_unnamed: bool) -> Result<Put, PutError> {
        todo!()
    }

    /// Stops serving a join, and removes its data if asked to.
    pub(crate) fn remove(&self, name: &str, data_too: bool) -> Result<(), PutError> {
        todo!()
    }

    /// Stops all joins; everything acknowledged is flushed. Later calls are refused.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        todo!()
    }
}

/// Why a definition was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// The join does not answer.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The definition makes other views, and nobody said that they may be made anew.
    #[error("the definition of `{name}` makes other views than the stored one: ask for a rebuild")]
    Changed { name: String },
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] Error),
}
