//! Giving events.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::Serialize;

use crate::batch::{Batch, Batcher};
use crate::transport::Ask;
use crate::wire::Taken;
use crate::{Client, Error};

/// Requests that are under way at once, unless told otherwise.
pub const IN_FLIGHT: usize = 4;

/// Whom events are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum To {
    /// Every join that the server serves.
    #[default]
    All,
    /// One.
    Join(String),
}

/// What became of many events: the counts of all answers.
impl std::ops::AddAssign<&Taken> for Taken {
    fn add_assign(&mut self, other: &Taken) {
        self.received += other.received;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.quarantined += other.quarantined;
        self.ignored += other.ignored;
    }
}

/// Events are known by their id and timestamp, so all of these may be repeated: by this client, and
/// by whoever calls it. An event that was taken before is counted as a duplicate.
impl Client {
    /// Gives one event.
    ///
    /// # Errors
    /// If it was not taken: see [`Error`]. An event that is wrong is taken, into quarantine.
    pub async fn put_event(&self, to: &To, event: &impl Serialize) -> Result<Taken, Error> {
        let body = json(event)?;
        self.put_body(to, "application/json", body.into()).await
    }

    /// Gives events, in batches that each have one durable answer; the answers are added up, without
    /// the answers of single events.
    ///
    /// # Errors
    /// At the first batch that was not taken. Those before it were.
    pub async fn put_events<T: Serialize>(&self, to: &To, events: impl IntoIterator<Item = T>) -> Result<Taken, Error> {
        let mut texts = events.into_iter().map(|event| json(&event));
        let mut failed = None;
        let texts = futures_util::stream::iter(std::iter::from_fn(|| match texts.next()? {
            Ok(text) => Some(text),
            Err(error) => {
                failed = Some(error);
                None
            }
        }));
        let taken = self.put_all(to, texts).await?;
        failed.map_or(Ok(taken), Err)
    }

    /// Gives events as they come, each as its JSON text.
    ///
    /// # Errors
    /// As [`Client::put_events`].
    pub async fn put_all<T: AsRef<[u8]>>(&self, to: &To, events: impl Stream<Item = T>) -> Result<Taken, Error> {
        let batches = events
            .map(Some)
            .chain(futures_util::stream::iter([None]))
            .scan(Some(Batcher::default()), |batcher, event| {
                let complete = match event {
                    Some(event) => batcher.as_mut().and_then(|batcher| batcher.add(event.as_ref())),
                    None => batcher.take().and_then(Batcher::finish),
                };
                std::future::ready(Some(complete))
            })
            .filter_map(std::future::ready);
        let mut sum = Taken::default();
        let mut answers = std::pin::pin!(self.put_batches(to, batches, IN_FLIGHT));
        while let Some((_, taken)) = answers.try_next().await? {
            sum += &taken;
        }
        Ok(sum)
    }

    /// Gives batches, up to a number of them at once; the answers come in the order of the batches,
    /// each with its batch.
    pub fn put_batches<'c>(
        &'c self,
        to: &'c To,
        batches: impl Stream<Item = Batch> + 'c,
        in_flight: usize,
    ) -> impl Stream<Item = Result<(Batch, Taken), Error>> + 'c {
        batches
            .map(move |batch| async move {
                let taken = self.put_batch(to, &batch).await?;
                Ok((batch, taken))
            })
            .buffered(in_flight.max(1))
    }

    /// Gives one batch.
    ///
    /// # Errors
    /// If it was not taken.
    pub async fn put_batch(&self, to: &To, batch: &Batch) -> Result<Taken, Error> {
        self.put_body(to, batch.content_type(), batch.body()).await
    }

    /// Gives lines of JSON as they are: an event a line.
    ///
    /// # Errors
    /// If they were not taken.
    pub async fn put_ndjson(&self, to: &To, lines: impl Into<Bytes>) -> Result<Taken, Error> {
        self.put_body(to, "application/x-ndjson", lines.into()).await
    }

    async fn put_body(&self, to: &To, content_type: &'static str, body: Bytes) -> Result<Taken, Error> {
        let mut path = vec!["v1", "events"];
        if let To::Join(join) = to {
            path.push(join);
        }
        self.ask(Ask::post(&path).repeatable().body(content_type, body)).await
    }
}

fn json(event: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(event).map_err(|error| Error::Invalid(format!("an event is no JSON: {error}")))
}
