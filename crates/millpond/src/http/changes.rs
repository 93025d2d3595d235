//! `GET /v1/changes/{join}`: changes of views as server-sent events. The reader pulls: a slow one
//! is told the newest versions when it comes, and holds no more than a page.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use millpond_core::json::quoted;
use millpond_store::{ChangePage, Cursor, Filter};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::App;
use super::metrics::OpenStream;
use super::problem::Problem;
use super::query::Query;
use super::target::OfJoin;
use crate::access::{Access, Decision, Scope};
use crate::service::Hosted;

/// A sign of life where nothing changes: shorter than the patience of most proxies.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Changes of one page.
const PAGE_CHANGES: usize = 1_024;
/// Clients go on after so long when the connection ends.
const RETRY_MS: u32 = 1_000;
const RESET: &str = "event: reset\ndata: {\"reason\":\"keys were erased or views made anew while you were away: forget everything; all that is there follows\"}\n\n";

/// One reader's stream.
struct Following {
    join: Arc<Hosted>,
    filter: Filter,
    cursor: Cursor,
    commits: watch::Receiver<Option<u64>>,
    stopping: watch::Receiver<bool>,
    access: Arc<Access>,
    /// What the reader came with: a token may be removed while it reads.
    authorization: Option<HeaderValue>,
    /// What is said first.
    prelude: Option<String>,
    /// There is nothing before the next commit.
    at_end: bool,
    _open: OpenStream,
}

pub(super) async fn changes(
    State(app): App,
    OfJoin(join): OfJoin,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cursor = match (last_event_id(&headers)?.or_else(|| query.cursor("last-event-id")), query.text("from")) {
        (Some(cursor), _) => cursor,
        (None, Some("start")) => Cursor::start(),
        (None, _) => join.run(|store| Ok(store.cursor_now())).await?,
    };
    let key = query.text("key").map(str::to_owned);
    let filter = Filter { key, prefix: query.text("prefix").unwrap_or_default().to_owned() };
    // With an id from the beginning, a reader that saw nothing yet misses nothing when it comes back.
    let prelude = Some(format!("retry: {RETRY_MS}\nid: {cursor}\n\n"));
    let (commits, stopping) = (join.commits(), app.stopping.clone());
    let open = app.metrics.stream();
    let following = Following {
        join,
        filter,
        cursor,
        commits,
        stopping,
        access: Arc::clone(&app.access),
        authorization: headers.get(header::AUTHORIZATION).cloned(),
        prelude,
        at_end: false,
        _open: open,
    };
    let pieces = stream::unfold(following, async |mut following| {
        let piece = following.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(piece)), following))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// What a client that comes back says; an empty one is as none.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map(Some).map_err(|error| Problem::bad_request(format!("Last-Event-ID: {error}")))
}

impl Following {
    /// What to say next; none once the join is no longer served or the server stops.
    async fn next(&mut self) -> Option<String> {
        if let Some(prelude) = self.prelude.take() {
            return Some(prelude);
        }
        let ping_at = Instant::now() + PING_EVERY;
        loop {
            if *self.stopping.borrow() || !self.may_read() {
                return None;
            }
            if self.at_end && !self.wait(ping_at).await? {
                if self.has_failed().await {
                    return None;
                }
                // The id spares the next connection what this one has looked through in vain.
                return Some(format!(": ping\nid: {}\n\n", self.cursor));
            }
            self.commits.borrow_and_update().as_ref()?;
            let page = self.page().await?;
            self.at_end = !page.more;
            let text = told(&page);
            self.cursor = page.next;
            if !text.is_empty() {
                return Some(text);
            }
        }
    }

    fn may_read(&self) -> bool {
        self.access.decide(self.authorization.as_ref(), Scope::Read) == Decision::Allowed
    }

    /// Whether there will be no more commits, since the store has failed.
    async fn has_failed(&self) -> bool {
        self.join.run(|store| Ok(store.stopped().is_some())).await.unwrap_or(true)
    }

    async fn page(&self) -> Option<ChangePage> {
        let (cursor, filter) = (self.cursor.clone(), self.filter.clone());
        let page = self.join.run(move |store| store.changes(&cursor, &filter, PAGE_CHANGES)).await;
        page.inspect_err(|error| tracing::warn!(%error, "a stream of changes ended")).ok()
    }

    /// Waits for a commit; false if a ping is due first, none if there will be no more.
    async fn wait(&mut self, ping_at: Instant) -> Option<bool> {
        tokio::select! {
            changed = self.commits.changed() => changed.ok().map(|()| true),
            () = sleep_until(ping_at) => Some(false),
            stopped = self.stopping.wait_for(|stopping| *stopping) => match stopped {
                Ok(_) => None,
                Err(_) => Some(true), // whoever could say so is gone: the next look finds out
            },
        }
    }
}

fn told(page: &ChangePage) -> String {
    let mut text = String::new();
    if page.reset {
        text.push_str(RESET);
    }
    for change in &page.changes {
        let document = change.document.as_deref().unwrap_or("null");
        write!(
            text,
            "event: change\nid: {}\ndata: {{\"key\":{},\"version\":{},\"document\":{document}}}\n\n",
            change.cursor,
            quoted(&change.key),
            change.version
        )
        .expect("a text takes everything");
    }
    text
}
