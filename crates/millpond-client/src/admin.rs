//! Joins, and what is decided about their events.

use bytes::Bytes;
use reqwest::Method;

use crate::transport::Ask;
use crate::wire::{
    Done, Erased, JoinInfo, JoinList, JoinPut, LateChoice, Preview, PreviewAsked, Retried, Snapshotted, Trimmed,
    Verified,
};
use crate::{Client, Error};

/// What putting a changed definition may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// The views may be made anew.
    pub rebuild: bool,
    /// Stored events whose types are no longer named may go.
    pub drop_unnamed: bool,
}

/// What happens to the events of a join that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// They stay in the server's data folder.
    Keep,
    /// They are deleted.
    Delete,
}

const TOML: &str = "application/toml";

impl Client {
    /// The joins of the server.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn joins(&self) -> Result<Vec<JoinInfo>, Error> {
        Ok(self.ask::<JoinList>(Ask::get(&["v1", "joins"])).await?.joins)
    }

    /// A join.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is none of that name.
    pub async fn join(&self, name: &str) -> Result<JoinInfo, Error> {
        self.ask(Ask::get(&["v1", "joins", name])).await
    }

    /// Adds a join, or changes the definition of one; `definition` is TOML, with this name.
    ///
    /// # Errors
    /// `invalid-definition` with its faults; `definition-changed` if the views would have to be made
    /// anew and that was not allowed.
    pub async fn put_join(&self, name: &str, definition: &str, rebuild: Rebuild) -> Result<JoinPut, Error> {
        let ask = Ask::new(Method::PUT, &["v1", "joins", name])
            .query("rebuild", rebuild.rebuild.then_some(true))
            .query("drop_unnamed", rebuild.drop_unnamed.then_some(true))
            .body(TOML, Bytes::copy_from_slice(definition.as_bytes()));
        self.ask(if rebuild.rebuild { ask.slow() } else { ask }).await
    }

    /// Stops serving a join, until it is put again. One that is stored and not served can be deleted.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is none of that name.
    pub async fn remove_join(&self, name: &str, stored: Stored) -> Result<Done, Error> {
        let data = match stored {
            Stored::Keep => "keep",
            Stored::Delete => "delete",
        };
        let ask = Ask::new(Method::DELETE, &["v1", "joins", name]).query("data", Some(data));
        self.ask(ask.not_repeatable().slow()).await
    }

    /// What the server makes of a definition, without storing it.
    ///
    /// # Errors
    /// `invalid-definition` with its faults.
    pub async fn check(&self, definition: &str) -> Result<JoinInfo, Error> {
        let body = Bytes::copy_from_slice(definition.as_bytes());
        self.ask(Ask::post(&["v1", "check"]).repeatable().body(TOML, body)).await
    }

    /// What a definition would make of some events (lines, an array, or one object), without storing anything.
    ///
    /// # Errors
    /// `invalid-definition` with its faults; `too-large` for more events or views than a preview has.
    pub async fn preview(&self, asked: &PreviewAsked) -> Result<Preview, Error> {
        let body = serde_json::to_vec(asked).expect("texts are always JSON").into();
        self.ask(Ask::post(&["v1", "preview"]).repeatable().body("application/json", body)).await
    }

    /// Folds everything anew and compares.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn verify(&self, join: &str) -> Result<Verified, Error> {
        self.ask(Ask::post(&["v1", "joins", join, "verify"]).repeatable().slow()).await
    }

    /// Closes what can be closed of a key.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is no view of the key.
    pub async fn snapshot(&self, join: &str, key: &str) -> Result<Snapshotted, Error> {
        self.ask(Ask::post(&["v1", "views", join, key, "snapshot"]).repeatable()).await
    }

    /// Deletes the events of a key that its snapshot covers.
    ///
    /// # Errors
    /// As [`Client::snapshot`].
    pub async fn trim(&self, join: &str, key: &str) -> Result<Trimmed, Error> {
        self.ask(Ask::post(&["v1", "views", join, key, "trim"]).repeatable()).await
    }

    /// Closes what can be closed, of all keys; how many have a new snapshot.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn snapshot_all(&self, join: &str) -> Result<Done, Error> {
        self.ask(Ask::post(&["v1", "joins", join, "snapshot"]).repeatable().slow()).await
    }

    /// Deletes the events that snapshots cover, of all keys; how many.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn trim_all(&self, join: &str) -> Result<Done, Error> {
        self.ask(Ask::post(&["v1", "joins", join, "trim"]).repeatable().slow()).await
    }

    /// Removes everything that is stored of a key, for good. It is not repeated by itself: the answer
    /// tells what else to look at, and a second one only that nothing is stored.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if nothing is stored of it.
    pub async fn erase(&self, join: &str, key: &str) -> Result<Erased, Error> {
        self.ask(Ask::new(Method::DELETE, &["v1", "views", join, key]).not_repeatable().slow()).await
    }

    /// Folds late events into their snapshots: you vouch that they are no repeats of trimmed ones.
    /// It is not repeated by itself.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if a named one is not there.
    pub async fn late_accept(&self, join: &str, choice: &LateChoice) -> Result<Done, Error> {
        self.ask(Ask::post(&["v1", "late", join, "accept"]).body("application/json", body(choice)).slow()).await
    }

    /// Removes late events for good. It is not repeated by itself.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if a named one is not there.
    pub async fn late_drop(&self, join: &str, choice: &LateChoice) -> Result<Done, Error> {
        self.ask(Ask::post(&["v1", "late", join, "drop"]).body("application/json", body(choice)).slow()).await
    }

    /// Tries to join an entry of the quarantine again, or all. It is not repeated by itself.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if a named one is not there.
    pub async fn quarantine_retry(&self, join: &str, id: Option<&str>) -> Result<Retried, Error> {
        let path: Vec<&str> = ["v1", "quarantine", join].into_iter().chain(id).chain(["retry"]).collect();
        self.ask(Ask::post(&path).slow()).await
    }

    /// Removes an entry of the quarantine for good, or all. It is not repeated by itself.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if a named one is not there.
    pub async fn quarantine_drop(&self, join: &str, id: Option<&str>) -> Result<Done, Error> {
        let path: Vec<&str> = ["v1", "quarantine", join].into_iter().chain(id).collect();
        self.ask(Ask::new(Method::DELETE, &path).not_repeatable().slow()).await
    }

    /// Whether all joins of the server answer.
    ///
    /// # Errors
    /// If not, or the server is not reached.
    pub async fn ready(&self) -> Result<(), Error> {
        self.answer(&Ask::get(&["readyz"])).await.map(drop)
    }
}

fn body(choice: &LateChoice) -> Bytes {
    serde_json::to_vec(choice).expect("texts and a flag are always JSON").into()
}
