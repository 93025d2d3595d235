//! The joins of a server, each with its store, the thread that commits to it, and its upkeep.

mod committer;
mod hosted;
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use millpond_core::Join;
use millpond_store::{DataFolder, Error, Options, Rebuilt, Store};

pub(crate) use hosted::{Hosted, Outcomes, Parcel};
pub(crate) use upkeep::Upkeep;

/// The clock, in milliseconds since 1970 UTC.
pub(crate) type Clock = fn() -> u64;

/// Why a join does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There is none of that name.
    #[error("there is no join `{name}`; `GET /v1/joins` lists those that are served")]
    NoJoin { name: String },
    /// It is being rebuilt: ask again later.
    #[error("the views of `{name}` are being made anew under a changed definition; try again when that is done")]
    Rebuilding { name: String },
    /// It was removed, or the server is stopping.
    #[error("join `{name}` is no longer served")]
    Left { name: String },
    /// It was stopped by a failure.
    #[error("join `{name}` does not answer: {reason}")]
    Stopped { name: String, reason: String },
    /// Another failure of its store.
    #[error("join `{name}`: {error}")]
    Store { name: String, error: Error },
    /// The definition makes other views, and nobody said that they may be made anew.
    #[error("the definition of `{name}` makes other views than the stored one; ask for a rebuild if you want that")]
    Changed { name: String },
}

impl Refused {
    fn of(name: &str, error: Error) -> Self {
        match error {
            Error::Stopped { reason } => Self::Stopped { name: name.to_owned(), reason },
            error => Self::Store { name: name.to_owned(), error },
        }
    }
}

/// What putting a definition did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put {
    /// It was not served before, whether it was stored or not.
    pub(crate) created: bool,
    pub(crate) rebuilt: Option<Rebuilt>,
}

/// All joins that are served.
pub(crate) struct Service {
    folder: DataFolder,
    options: Options,
    clock: Clock,
    upkeep: Option<Upkeep>,
    joins: RwLock<BTreeMap<String, Place>>,
    /// Held while a join is added, changed or removed: one after the other.
    changing: Mutex<()>,
}

#[derive(Clone)]
enum Place {
    Serving(Arc<Hosted>),
    Rebuilding,
    /// A change failed half-way: why.
    Stopped(String),
}

impl Service {
    /// Opens the joins of the definitions, or all in the folder if none is given; `upkeep` says how
    /// snapshots and trims are made in the background, if at all.
    ///
    /// # Errors
    /// If a store cannot be opened, or [`Refused::Changed`].
    pub(crate) fn open(
        folder: DataFolder,
        definitions: Vec<Join>,
        options: Options,
        clock: Clock,
        upkeep: Option<Upkeep>,
    ) -> Result<Arc<Self>, Refused> {
        let service = Self { folder, options, clock, upkeep, joins: RwLock::default(), changing: Mutex::default() };
        if definitions.is_empty() {
            let failed = |error| Refused::Store { name: "?".to_owned(), error };
            for name in service.folder.joins().map_err(failed)? {
                if service.folder.is_set_aside(&name) {
                    tracing::info!(join = name, "is in the data folder, but not served: it was removed");
                    continue;
                }
                let opened = Store::open(&service.folder, &name, service.options.clone());
                service.host(&name, opened.map_err(|error| Refused::of(&name, error))?.0)?;
            }
        }
        for join in definitions {
            service.put(join, false, false)?;
        }
        Ok(Arc::new(service))
    }

    /// The join of a name.
    ///
    /// # Errors
    /// If there is none, or it does not answer now.
    pub(crate) fn join(&self, name: &str) -> Result<Arc<Hosted>, Refused> {
        let place = self.joins.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        answering(name, place)
    }

    /// All joins by name, and why some are not served. A store that has stopped is found out by
    /// whoever works with it.
    pub(crate) fn served(&self) -> Vec<(String, Result<Arc<Hosted>, Refused>)> {
        let joins = self.joins.read().unwrap_or_else(PoisonError::into_inner).clone();
        joins.into_iter().map(|(name, place)| (name.clone(), answering(&name, Some(place)))).collect()
    }

    /// All joins by name, and why some do not answer. Asks their stores, which may wait for a commit.
    pub(crate) fn joins(&self) -> Vec<(String, Result<Arc<Hosted>, Refused>)> {
        let working = |join: Arc<Hosted>| match join.failure() {
            Some(reason) => Err(Refused::Stopped { name: join.name().to_owned(), reason }),
            None => Ok(join),
        };
        self.served().into_iter().map(|(name, join)| (name, join.and_then(working))).collect()
    }

    /// Adds a join, or changes its definition; `rebuild` says whether its views may be made anew,
    /// and `drop_unnamed` whether events of types that it no longer names may go. Blocks for as long
    /// as that takes; the other joins are not touched.
    ///
    /// # Errors
    /// [`Refused::Changed`] if it needs a rebuild; the store's errors. What was served before is
    /// served on, unless its files failed.
    pub(crate) fn put(&self, join: Join, rebuild: bool, drop_unnamed: bool) -> Result<Put, Refused> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = join.name().to_owned();
        let place = self.joins.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(Place::Serving(hosted)) = &place {
            let same = hosted.join().source_text() == join.source_text();
            if same {
                return Ok(Put { created: false, rebuilt: None });
            }
            if hosted.join().fingerprint() != join.fingerprint() && !rebuild {
                return Err(Refused::Changed { name });
            }
            self.set(&name, Place::Rebuilding);
            close(hosted);
        }
        let hosted = self.open_under(join, rebuild, drop_unnamed).and_then(|(store, rebuilt)| {
            self.folder.set_aside(&name, false).map_err(|error| Refused::of(&name, error))?;
            self.host(&name, store)?;
            Ok(Put { created: place.is_none(), rebuilt })
        });
        hosted.inspect_err(|_| {
            if place.is_some() {
                self.serve_stored(&name);
            }
        })
    }

    fn open_under(&self, join: Join, rebuild: bool, drop_unnamed: bool) -> Result<(Store, Option<Rebuilt>), Refused> {
        let name = join.name().to_owned();
        let failed = |error| Refused::of(&name, error);
        let asked = Join::parse(join.source_text()).expect("it was parsed before");
        let (store, _) = Store::open_or_create(&self.folder, join, self.options.clone()).map_err(failed)?;
        if store.serves(&asked) {
            return Ok((store, None));
        }
        if !rebuild {
            return Err(Refused::Changed { name });
        }
        let (store, done) = store.rebuild(&self.folder, asked, drop_unnamed, |_| {}).map_err(failed)?;
        Ok((store, Some(done)))
    }

    /// After a change that failed: goes on with what is stored.
    fn serve_stored(&self, name: &str) {
        let opened = Store::open(&self.folder, name, self.options.clone()).map_err(|error| Refused::of(name, error));
        if let Err(error) = opened.and_then(|(store, _)| self.host(name, store)) {
            tracing::error!(join = name, %error, "cannot be served any more");
            self.set(name, Place::Stopped(error.to_string()));
        }
    }

    /// Stops serving a join, after the next start too, and removes its files if asked to; one that is
    /// stored and not served has them all the same.
    ///
    /// # Errors
    /// [`Refused::NoJoin`], or the store's errors. Asking again goes on with it.
    pub(crate) fn remove(&self, name: &str, data_too: bool) -> Result<(), Refused> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error| Refused::of(name, error);
        let place = self.joins.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let stored = self.folder.joins().map_err(failed)?.iter().any(|join| join == name);
        if place.is_none() && !(stored && data_too) {
            return Err(Refused::NoJoin { name: name.to_owned() });
        }
        if stored && !data_too {
            self.folder.set_aside(name, true).map_err(failed)?;
        }
        self.joins.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        match place {
            Some(Place::Serving(hosted)) if data_too => drop(hosted.retire()),
            Some(Place::Serving(hosted)) => close(&hosted),
            Some(Place::Rebuilding | Place::Stopped(_)) | None => {}
        }
        if data_too && let Err(error) = self.folder.remove_join(name) {
            self.set(name, Place::Stopped(error.to_string()));
            return Err(failed(error));
        }
        Ok(())
    }

    /// Stops all joins, so that the next start has nothing to replay. Later requests are refused.
    ///
    /// # Errors
    /// The first failure of a store; all are closed. Nothing acknowledged is lost by one.
    pub(crate) fn stop(&self) -> Result<(), Refused> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let joins = std::mem::take(&mut *self.joins.write().unwrap_or_else(PoisonError::into_inner));
        let mut first = Ok(());
        for (name, place) in joins {
            let Place::Serving(hosted) = place else { continue };
            let closed = hosted.retire().map_or(Ok(()), Store::close).map_err(|error| Refused::of(&name, error));
            first = first.and(closed);
        }
        first
    }

    fn host(&self, name: &str, store: Store) -> Result<(), Refused> {
        let hosted = Hosted::start(store, self.clock, self.upkeep).map_err(|error| Refused::of(name, error))?;
        self.set(name, Place::Serving(hosted));
        Ok(())
    }

    fn set(&self, name: &str, place: Place) {
        self.joins.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), place);
    }
}

/// Closes the store of a join that is no longer served. What that cannot write is in the log.
fn close(hosted: &Hosted) {
    if let Err(error) = hosted.retire().map_or(Ok(()), Store::close) {
        tracing::warn!(join = hosted.name(), %error, "cannot be closed as it should; nothing acknowledged is lost");
    }
}

fn answering(name: &str, place: Option<Place>) -> Result<Arc<Hosted>, Refused> {
    let name = name.to_owned();
    match place {
        Some(Place::Serving(hosted)) => Ok(hosted),
        Some(Place::Rebuilding) => Err(Refused::Rebuilding { name }),
        Some(Place::Stopped(reason)) => Err(Refused::Stopped { name, reason }),
        None => Err(Refused::NoJoin { name }),
    }
}
