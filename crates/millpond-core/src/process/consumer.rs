//! Consumer: checks each event, finds its keys, and writes it once to the event store.

use crate::event::{Event, Keys};
use crate::join::{Join, TypeIndex};
use crate::json::Json;
use crate::position::{At, Position};
use crate::reject::{Reason, Rejection};
use crate::store::{Inserted, LateEvent, Quarantined, Row, Store};
use crate::view::View;

/// How far ahead of the consumer's clock a timestamp may be.
pub const FUTURE_MS_MAX: u64 = 5 * 60 * 1000;

/// What an event is, before any store is asked.
#[derive(Debug)]
pub enum Read<'a> {
    /// An event of the join, and its keys.
    Joins(Event<'a>, TypeIndex, Keys<'a>),
    /// A sound event of a type that the join does not know.
    Ignored(Event<'a>),
}

/// Reads an event: pure, and the same in every home.
///
/// # Errors
/// Why it belongs into quarantine.
pub fn read<'a>(join: &Join, bytes: &'a [u8], now: u64) -> Result<Read<'a>, Rejection> {
    let event = Event::read(join, bytes)?;
    let Some(kind) = join.type_index(&event.kind) else { return Ok(Read::Ignored(event)) };
    if event.timestamp > now.saturating_add(FUTURE_MS_MAX) {
        let ahead = (event.timestamp - now) / 1000;
        let detail = format!("timestamp {} is {ahead} s ahead of the clock; at most 300 s", event.timestamp);
        return Err(Rejection::new(Reason::Future, detail));
    }
    let keys = event.keys(join, kind)?;
    Ok(Read::Joins(event, kind, keys))
}

/// Where history is closed for newcomers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// One machine: at the key's snapshot.
    Snapshot,
    /// Many writers: a margin before the lateness has passed, by the consumer's clock.
    Clock {
        /// M, in milliseconds.
        margin_ms: u64,
    },
    /// While snapshots are off: nowhere.
    Open,
}

impl Boundary {
    /// The highest closed position of a key.
    #[must_use]
    pub fn closed(self, join: &Join, view: Option<&View>, now: u64) -> Option<Position> {
        match self {
            Self::Snapshot => view.and_then(View::through).cloned(),
            Self::Clock { margin_ms } => {
                let open_ms = join.lateness_ms().saturating_sub(margin_ms);
                Some(Position::new(now.saturating_sub(open_ms), ""))
            }
            Self::Open => None,
        }
    }
}

/// Whether a position is closed.
#[must_use]
pub fn is_late(closed: Option<&Position>, at: At<'_>) -> bool {
    closed.is_some_and(|closed| at <= closed.at())
}

/// Whether two texts are one event: the same bytes, or the same JSON value.
#[must_use]
pub fn same_body(left: &str, right: &str) -> bool {
    left == right || Json::canonical(left) == Json::canonical(right)
}

/// The rejection of an event whose place holds another body.
#[must_use]
pub fn conflict(at: At<'_>) -> Rejection {
    Rejection::new(Reason::Conflict, format!("another event is stored at {at}; ids must be unique"))
}

/// What became of an event for one of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored; its key's trigger is due.
    Accepted {
        /// The key.
        key: Box<str>,
        /// The new row.
        row: Row,
    },
    /// Known already.
    Duplicate,
    /// Kept in the late queue.
    Late,
    /// Kept in quarantine.
    Quarantined(Rejection),
    /// Of a type that the join does not know.
    Ignored,
}

/// Consumes one event: one outcome a key it joins, at least one.
///
/// # Errors
/// If the store fails: the event was not acknowledged and can be consumed again.
pub async fn consume<S: Store>(
    store: &S,
    join: &Join,
    bytes: &[u8],
    now: u64,
    boundary: Boundary,
) -> Result<Vec<Outcome>, S::Error> {
    let (event, keys) = match read(join, bytes, now) {
        Ok(Read::Joins(event, _, keys)) => (event, keys),
        Ok(Read::Ignored(_)) => return Ok(vec![Outcome::Ignored]),
        Err(rejection) => return Ok(vec![quarantine(store, bytes, rejection, now).await?]),
    };
    let row = Row { position: event.position().to_position(), put_at: now, body: event.text.into() };
    let mut outcomes = Vec::with_capacity(keys.len());
    for key in &keys {
        outcomes.push(place(store, join, key, &row, boundary).await?);
    }
    Ok(outcomes)
}

async fn place<S: Store>(
    store: &S,
    join: &Join,
    key: &str,
    row: &Row,
    boundary: Boundary,
) -> Result<Outcome, S::Error> {
    let view = match boundary {
        Boundary::Snapshot => store.view(key).await?,
        _ => None,
    };
    let closed = boundary.closed(join, view.as_ref(), row.put_at);
    if let Some(closed) = closed.filter(|closed| is_late(Some(closed), row.position.at())) {
        if let Some(present) = store.row(key, &row.position).await? {
            return known(store, row, &present).await;
        }
        let late = LateEvent { key: key.into(), row: row.clone(), closed };
        return match store.keep_late(&late).await? {
            Inserted::New => Ok(Outcome::Late),
            Inserted::Present(present) => known(store, row, &present).await,
        };
    }
    match store.insert_row(key, row).await? {
        Inserted::New => Ok(Outcome::Accepted { key: key.into(), row: row.clone() }),
        Inserted::Present(present) => known(store, row, &present).await,
    }
}

async fn known<S: Store>(store: &S, row: &Row, present: &Row) -> Result<Outcome, S::Error> {
    if same_body(&row.body, &present.body) {
        return Ok(Outcome::Duplicate);
    }
    quarantine(store, row.body.as_bytes(), conflict(row.position.at()), row.put_at).await
}

async fn quarantine<S: Store>(store: &S, bytes: &[u8], rejection: Rejection, now: u64) -> Result<Outcome, S::Error> {
    store.keep_quarantined(&Quarantined { rejection: rejection.clone(), at: now, bytes: bytes.to_vec() }).await?;
    Ok(Outcome::Quarantined(rejection))
}
