//! A join of a server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use millpond_client::wire::{
    Erased, EventPage, Explained, JoinInfo, LateChoice, LatePage, QuarantinePage, Retried, Snapshotted, Stats, Verified,
};
use millpond_client::{Client, Retry, Views};
use tokio::runtime::Runtime;

use super::{AtJoin, PAGE, Page, VIEWS};
use crate::cli::target::{AtServer, Credentials};

/// Requests that are under way at once, where each is about one key.
const IN_FLIGHT: usize = 8;

/// A server, and the runtime that its client's connections belong to.
pub(in crate::commands) struct Server {
    pub(in crate::commands) client: Client,
    pub(in crate::commands) runtime: Runtime,
}

/// One of its joins.
struct Served<'s> {
    server: &'s Server,
    name: String,
}

impl Server {
    pub(in crate::commands) fn at(url: &str, credentials: &Credentials) -> Result<Self> {
        Ok(Self { client: client(url, credentials, Retry::default())?, runtime: runtime()? })
    }

    /// One that may be away for some time.
    pub(in crate::commands) fn patient(server: &AtServer, retry_seconds: u64) -> Result<Self> {
        let retry = Retry::for_up_to(Duration::from_secs(retry_seconds));
        Ok(Self { client: client(&server.server, &server.credentials, retry)?, runtime: runtime()? })
    }

    /// Waits for an answer.
    pub(in crate::commands) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, millpond_client::Error>>,
    ) -> Result<T> {
        Ok(self.runtime.block_on(answer)?)
    }

    pub(super) fn join(&self, name: &str) -> impl AtJoin + use<'_> {
        Served { server: self, name: name.to_owned() }
    }

    pub(super) fn joins(&self) -> Result<Vec<String>> {
        let joins: Vec<JoinInfo> = self.wait(self.client.joins())?;
        Ok(joins.into_iter().map(|join| join.name).collect())
    }
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// A client of a server, as the command line says.
fn client(url: &str, credentials: &Credentials, retry: Retry) -> Result<Client> {
    let mut client = Client::builder(url).retry(retry);
    if let Some(token) = token(credentials)? {
        client = client.token(token);
    }
    if let Some(path) = &credentials.ca {
        client = client.ca_certificate(read(path)?);
    }
    Ok(client.build()?)
}

/// A file that is named counts before the environment.
fn token(credentials: &Credentials) -> Result<Option<String>> {
    if let Some(path) = &credentials.token_file {
        let text = String::from_utf8(read(path)?).ok().filter(|text| !text.trim().is_empty());
        let text = text.with_context(|| format!("{} holds no token", path.display()))?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(credentials.token.clone().filter(|token| !token.is_empty()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

impl AtJoin for Served<'_> {
    fn document(&self, key: &str, at_ms: Option<u64>) -> Result<String> {
        let client = &self.server.client;
        let document = match at_ms {
            None => self.server.wait(client.view(&self.name, key))?.document,
            Some(at_ms) => self.server.wait(client.view_at(&self.name, key, at_ms))?,
        };
        Ok(document.get().to_owned())
    }

    fn documents(&self, which: &Views, after: Option<&str>) -> Result<Page> {
        let which = Views { page: Some(VIEWS as u32), ..which.clone() };
        let page = self.server.wait(self.server.client.view_page(&self.name, &which, after))?;
        let texts = page.views.into_iter().map(|view| view.document.get().to_owned()).collect();
        Ok(Page { texts, next: page.next })
    }

    fn keys(&self, after: Option<&str>) -> Result<Page> {
        let which = Views { page: Some(VIEWS as u32), ..Views::default() };
        let page = self.server.wait(self.server.client.view_page(&self.name, &which, after))?;
        Ok(Page { texts: page.views.into_iter().map(|view| view.key).collect(), next: page.next })
    }

    fn history(&self, key: &str, after: Option<&str>) -> Result<EventPage> {
        self.server.wait(self.server.client.event_page(&self.name, key, after, Some(PAGE as u32)))
    }

    fn explained(&self, key: &str) -> Result<Explained> {
        self.server.wait(self.server.client.explain(&self.name, key))
    }

    fn snapshot(&self, keys: &[String]) -> Result<Vec<Snapshotted>> {
        let each = stream::iter(keys).map(|key| self.server.client.snapshot(&self.name, key));
        self.server.wait(each.buffered(IN_FLIGHT).try_collect())
    }

    fn trim(&self, key: &str) -> Result<u64> {
        Ok(self.server.wait(self.server.client.trim(&self.name, key))?.trimmed)
    }

    fn trim_all(&self) -> Result<(u64, u64)> {
        let trimmed = self.server.wait(self.server.client.trim_all(&self.name))?.done;
        Ok((self.stats()?.keys, trimmed))
    }

    fn settle(&self) -> Result<()> {
        Ok(()) // a server does that when it stops
    }

    fn late(&self, key: Option<&str>, after: Option<&str>) -> Result<LatePage> {
        self.server.wait(self.server.client.late_page(&self.name, key, after))
    }

    fn late_accept(&self, choice: &LateChoice) -> Result<u64> {
        Ok(self.server.wait(self.server.client.late_accept(&self.name, choice))?.done)
    }

    fn late_drop(&self, choice: &LateChoice) -> Result<u64> {
        Ok(self.server.wait(self.server.client.late_drop(&self.name, choice))?.done)
    }

    fn quarantine(&self, after: Option<&str>) -> Result<QuarantinePage> {
        self.server.wait(self.server.client.quarantine_page(&self.name, after))
    }

    fn quarantined(&self, id: &str) -> Result<Vec<u8>> {
        Ok(self.server.wait(self.server.client.quarantined(&self.name, id))?.to_vec())
    }

    fn quarantine_retry(&self, id: Option<&str>) -> Result<Retried> {
        self.server.wait(self.server.client.quarantine_retry(&self.name, id))
    }

    fn quarantine_drop(&self, id: Option<&str>) -> Result<u64> {
        Ok(self.server.wait(self.server.client.quarantine_drop(&self.name, id))?.done)
    }

    fn stats(&self) -> Result<Stats> {
        self.server.wait(self.server.client.stats(&self.name))
    }

    fn verify(&self, _progress: &dyn Fn(u64)) -> Result<Verified> {
        self.server.wait(self.server.client.verify(&self.name))
    }

    fn erase(&self, key: &str) -> Result<Erased> {
        self.server.wait(self.server.client.erase(&self.name, key))
    }
}
