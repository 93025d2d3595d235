//! Following the changes of views, through restarts and broken connections.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::{Instant, sleep, timeout};

use crate::sse::{Event, Parser, TooLong};
use crate::transport::Ask;
use crate::wire::Change;
use crate::{Client, Error};

/// A connection on which nothing has come for so long is dead: the server says something every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Which changes, from where on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Only of this key.
    pub key: Option<String>,
    /// Only of keys that begin with this.
    pub prefix: String,
    /// Where to begin.
    pub from: Since,
}

/// Where to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// With what changes from now on.
    #[default]
    Now,
    /// With every view that there is, then on.
    Start,
    /// After the cursor of a change that was received before.
    After(String),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum ChangeEvent {
    /// A view changed.
    Change {
        /// To go on after it: [`Since::After`].
        cursor: String,
        /// The view as it is now.
        change: Change,
    },
    /// Keys were erased or views made anew meanwhile: forget every view that you hold, and its
    /// version. All views follow.
    Reset,
}

impl Client {
    /// The changes of a join's views. Each version of a view comes once, versions of a view only
    /// grow, and the last one is its current document; versions in between may be left out.
    ///
    /// The stream reconnects by itself, for ever once it was connected, and goes on where it was.
    /// It ends with an error that no repeating mends, such as a join that is not there.
    pub fn changes(&self, join: &str, which: Changes) -> impl Stream<Item = Result<ChangeEvent, Error>> + use<> {
        let last_id = match &which.from {
            Since::After(cursor) => cursor.clone(),
            Since::Now | Since::Start => String::new(),
        };
        let following = Following {
            client: self.clone(),
            join: join.to_owned(),
            which,
            last_id,
            open: None,
            ready: VecDeque::new(),
            asked_wait: None,
            connected: false,
            failures: 0,
        };
        stream::try_unfold(following, |mut following| async move {
            following.next().await.map(|event| Some((event, following)))
        })
    }
}

struct Following {
    client: Client,
    join: String,
    which: Changes,
    /// Of the last event that was handed out; empty before the first.
    last_id: String,
    open: Option<Open>,
    ready: VecDeque<Event>,
    asked_wait: Option<Duration>,
    connected: bool,
    /// Attempts in a row on which nothing came.
    failures: u32,
}

struct Open {
    body: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    parser: Parser,
}

impl Following {
    async fn next(&mut self) -> Result<ChangeEvent, Error> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                self.last_id.clone_from(&event.id);
                if let Some(told) = self.told(event)? {
                    return Ok(told);
                }
            }
            match &mut self.open {
                Some(_) => self.receive().await?,
                None => self.connect().await?,
            }
        }
    }

    /// Waits for more; an end or a failure closes the connection.
    async fn receive(&mut self) -> Result<(), Error> {
        let Some(Open { body, parser }) = &mut self.open else { return Ok(()) };
        let received = timeout(SILENCE_MAX, body.next()).await;
        if let Ok(Some(Ok(bytes))) = received {
            self.failures = 0;
            if let Err(TooLong) = parser.feed(&bytes, &mut self.ready) {
                return Err(self.odd("with an endless event".into()));
            }
            if self.ready.is_empty() {
                parser.last_id().clone_into(&mut self.last_id);
            }
            self.asked_wait = parser.retry();
            return Ok(());
        }
        self.open = None;
        self.pause().await;
        Ok(())
    }

    async fn pause(&mut self) {
        let shared = &self.client.shared;
        let wait = shared.retry.backoff(self.failures, (shared.chance)()) + self.asked_wait.unwrap_or_default();
        self.failures += 1;
        sleep(wait).await;
    }

    /// The first time the client's own patience holds; after that there is no end to it.
    async fn connect(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let error = match self.request().await {
                Ok(open) => {
                    self.open = Some(open);
                    self.connected = true;
                    return Ok(());
                }
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => error,
            };
            let shared = &self.client.shared;
            let allowed = shared.retry.wait(self.failures, started.elapsed(), 0.0, error.retry_after());
            if !self.connected && allowed.is_none() {
                return Err(error);
            }
            sleep(error.retry_after().unwrap_or_default()).await;
            self.pause().await;
        }
    }

    async fn request(&self) -> Result<Open, Error> {
        let Changes { key, prefix, from } = &self.which;
        let from = (self.last_id.is_empty() && *from == Since::Start).then_some("start");
        let mut ask = Ask::get(&["v1", "changes", &self.join])
            .query("key", key.as_ref())
            .query("prefix", Some(prefix).filter(|prefix| !prefix.is_empty()))
            .query("from", from)
            .accept("text/event-stream");
        if !self.last_id.is_empty() {
            let id = HeaderValue::try_from(self.last_id.as_str());
            let id =
                id.map_err(|_| Error::Invalid(format!("`{}` is no cursor of a change", self.last_id.escape_debug())))?;
            ask.headers.insert("last-event-id", id);
        }
        let after = self.client.shared.timeout;
        let response = timeout(after, self.client.send(&ask)).await;
        let response = response.map_err(|_| Error::Timeout { url: self.client.url().to_owned(), after })??;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(self.odd(format!("of type `{kind}` where a stream of events was expected")));
        }
        Ok(Open { body: Box::pin(response.bytes_stream()), parser: Parser::after(&self.last_id) })
    }

    fn told(&self, event: Event) -> Result<Option<ChangeEvent>, Error> {
        match event.kind.as_str() {
            "change" => match serde_json::from_str(&event.data) {
                Ok(change) => Ok(Some(ChangeEvent::Change { cursor: event.id, change })),
                Err(error) => Err(self.odd(format!("with a change that is not understood ({error})"))),
            },
            "reset" => Ok(Some(ChangeEvent::Reset)),
            _ => Ok(None), // of a later version
        }
    }

    fn odd(&self, what: String) -> Error {
        let url = format!("{}/v1/changes/{}", self.client.url(), self.join);
        Error::Unexpected { url, status: 200, what, retry_after: None }
    }
}
