//! Reading views, histories, queues and counts.

use bytes::Bytes;
use futures_util::Stream;
use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use serde_json::value::RawValue;

use crate::pages::entries;
use crate::transport::{Answer, Ask};
use crate::wire::{
    DuplicateList, EventPage, Explained, LateEntry, LatePage, QuarantineEntry, QuarantinePage, Samples, Stats,
    StoredEvent, Tails, ViewEntry, ViewPage,
};
use crate::{Client, Error};

/// Which views of a join, and how many a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Conditions on the document, all of which hold: `field op value`, as `total >= 10`.
    pub conditions: Vec<String>,
    /// Views of a page, at most 1,000; the server's own number if absent.
    pub page: Option<u32>,
}

/// The view of one key.
#[derive(Clone, Debug)]
pub struct View {
    /// Its key.
    pub key: String,
    /// Its version: grows with each change.
    pub version: u64,
    /// What the server knows this document by, for [`Client::view_if_changed`]: a changed definition
    /// gives another document of the same version another tag.
    pub tag: String,
    /// The document.
    pub document: Box<RawValue>,
}

impl Client {
    /// The view of a key.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is no such join, or no view of the key.
    pub async fn view(&self, join: &str, key: &str) -> Result<View, Error> {
        let answer = self.answer(&Ask::get(&["v1", "views", join, key])).await?;
        view_of(key, &answer)
    }

    /// The view of a key if it is no longer the one with this [`View::tag`].
    ///
    /// # Errors
    /// As [`Client::view`]; [`Error::Invalid`] if no view has such a tag.
    pub async fn view_if_changed(&self, join: &str, key: &str, tag: &str) -> Result<Option<View>, Error> {
        let mut ask = Ask::get(&["v1", "views", join, key]);
        let wrong = || Error::Invalid(format!("`{}` is no tag of a view", tag.escape_debug()));
        ask.headers.insert(IF_NONE_MATCH, HeaderValue::try_from(tag).map_err(|_| wrong())?);
        let answer = self.answer(&ask).await?;
        if answer.status == StatusCode::NOT_MODIFIED { Ok(None) } else { view_of(key, &answer).map(Some) }
    }

    /// The document of a key as it was at a time of events, in milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// As [`Client::view`]; `before-snapshot` if that time is closed, with the earliest possible one.
    pub async fn view_at(&self, join: &str, key: &str, at_ms: u64) -> Result<Box<RawValue>, Error> {
        self.ask(Ask::get(&["v1", "views", join, key]).query("at", Some(at_ms))).await
    }

    /// Why a view is what it is.
    ///
    /// # Errors
    /// As [`Client::view`].
    pub async fn explain(&self, join: &str, key: &str) -> Result<Explained, Error> {
        self.ask(Ask::get(&["v1", "views", join, key]).query("explain", Some(true))).await
    }

    /// A page of views, in the order of keys, after a key.
    ///
    /// # Errors
    /// If there is no such join, or a condition is none.
    pub async fn view_page(&self, join: &str, which: &Views, after: Option<&str>) -> Result<ViewPage, Error> {
        let mut ask = Ask::get(&["v1", "views", join]);
        for condition in &which.conditions {
            ask = ask.query("where", Some(condition));
        }
        let prefix = Some(&which.prefix).filter(|prefix| !prefix.is_empty());
        self.ask(ask.query("prefix", prefix).query("after", after).query("limit", which.page)).await
    }

    /// All views, page by page.
    pub fn views(&self, join: &str, which: Views) -> impl Stream<Item = Result<ViewEntry, Error>> + use<> {
        let (client, join) = (self.clone(), join.to_owned());
        entries(move |after| {
            let (client, join, which) = (client.clone(), join.clone(), which.clone());
            async move {
                let page = client.view_page(&join, &which, after.as_deref()).await?;
                Ok((page.views, page.next))
            }
        })
    }

    /// A page of the stored events of a key, in the order of positions.
    ///
    /// # Errors
    /// As [`Client::view`].
    pub async fn event_page(
        &self,
        join: &str,
        key: &str,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Result<EventPage, Error> {
        self.ask(Ask::get(&["v1", "views", join, key, "events"]).query("after", after).query("limit", limit)).await
    }

    /// The stored events of a key, page by page.
    pub fn events(&self, join: &str, key: &str) -> impl Stream<Item = Result<StoredEvent, Error>> + use<> {
        let (client, join, key) = (self.clone(), join.to_owned(), key.to_owned());
        entries(move |after| {
            let (client, join, key) = (client.clone(), join.clone(), key.clone());
            async move {
                let page = client.event_page(&join, &key, after.as_deref(), None).await?;
                Ok((page.events, page.next))
            }
        })
    }

    /// A page of the late queue, of a key or of all.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn late_page(&self, join: &str, key: Option<&str>, after: Option<&str>) -> Result<LatePage, Error> {
        self.ask(Ask::get(&["v1", "late", join]).query("key", key).query("after", after)).await
    }

    /// The late queue, page by page.
    pub fn late(&self, join: &str, key: Option<&str>) -> impl Stream<Item = Result<LateEntry, Error>> + use<> {
        let (client, join, key) = (self.clone(), join.to_owned(), key.map(ToOwned::to_owned));
        entries(move |after| {
            let (client, join, key) = (client.clone(), join.clone(), key.clone());
            async move {
                let page = client.late_page(&join, key.as_deref(), after.as_deref()).await?;
                Ok((page.late, page.next))
            }
        })
    }

    /// The newest repeats that came, of a key or of all, as far as the server remembers.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn duplicates(&self, join: &str, key: Option<&str>) -> Result<DuplicateList, Error> {
        self.ask(Ask::get(&["v1", "duplicates", join]).query("key", key)).await
    }

    /// A page of the quarantine.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn quarantine_page(&self, join: &str, after: Option<&str>) -> Result<QuarantinePage, Error> {
        self.ask(Ask::get(&["v1", "quarantine", join]).query("after", after)).await
    }

    /// The quarantine, page by page.
    pub fn quarantine(&self, join: &str) -> impl Stream<Item = Result<QuarantineEntry, Error>> + use<> {
        let (client, join) = (self.clone(), join.to_owned());
        entries(move |after| {
            let (client, join) = (client.clone(), join.clone());
            async move {
                let page = client.quarantine_page(&join, after.as_deref()).await?;
                Ok((page.quarantine, page.next))
            }
        })
    }

    /// The bytes of an entry of the quarantine, as they were received.
    ///
    /// # Errors
    /// [`Error::is_not_found`] if there is no such entry.
    pub async fn quarantined(&self, join: &str, id: &str) -> Result<Bytes, Error> {
        Ok(self.answer(&Ask::get(&["v1", "quarantine", join, id])).await?.body)
    }

    /// What was counted over the last hour, at times later than one.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn samples(&self, join: &str, after_ms: Option<u64>) -> Result<Samples, Error> {
        self.ask(Ask::get(&["v1", "joins", join, "samples"]).query("after", after_ms)).await
    }

    /// How many events keys after one have after their snapshots.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn tails(&self, join: &str, after: Option<&str>) -> Result<Tails, Error> {
        self.ask(Ask::get(&["v1", "joins", join, "tails"]).query("after", after)).await
    }

    /// What was counted since the join was made.
    ///
    /// # Errors
    /// If there is no such join.
    pub async fn stats(&self, join: &str) -> Result<Stats, Error> {
        self.ask(Ask::get(&["v1", "joins", join, "stats"])).await
    }
}

fn view_of(key: &str, answer: &Answer) -> Result<View, Error> {
    let tag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let read = tag.and_then(|tag| Some((tag, version_of(tag)?)));
    let (tag, version) = read.ok_or_else(|| answer.unexpected("without the version of the view".into()))?;
    Ok(View { key: key.to_owned(), version, tag: tag.to_owned(), document: answer.read()? })
}

/// Of `"VERSION-EDITION"`; what compresses in between makes tags weak.
fn version_of(tag: &str) -> Option<u64> {
    let inner = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    inner.split_once('-')?.0.parse().ok()
}
