//! The store port: what the processes need of whatever keeps rows and views.

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::position::Position;
use crate::reject::Rejection;
use crate::view::View;

/// An accepted event of a key. Immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its place in the key's history.
    pub position: Position,
    /// When it was written, in milliseconds since 1970 UTC.
    pub put_at: u64,
    /// The event's text as it was received.
    pub body: Box<str>,
}

/// An event that came after its place was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateEvent {
    /// The key it would join.
    pub key: Box<str>,
    /// The event.
    pub row: Row,
    /// The boundary that it was at or below.
    pub closed: Position,
}

/// Bytes that could not be joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Why.
    pub rejection: Rejection,
    /// When, in milliseconds since 1970 UTC.
    pub at: u64,
    /// What was received.
    pub bytes: Vec<u8>,
}

/// What inserting a row, or keeping a late event, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// There was none: it is stored now.
    New,
    /// There is one at this position, this one; nothing was written.
    Present(Row),
}

/// Whether a conditional write happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable.
    Done,
    /// The view's version is another one: read again, decide again.
    Conflict,
}

/// Some rows of a key in the order of positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// Where rows and views live.
///
/// # Contract
/// - What a method has answered `Ok` to is durable, and every later read sees it.
/// - `insert_row` writes only where no row of this key has the position; of concurrent inserts at
///   one position one is `New`.
/// - `rows` yields each row with after < position <= through once, in the order of positions; a
///   page is as long as the store likes, and `more` is set until the last.
/// - `put_view` puts `next` in the place of `before`, as it was read; it writes only if the stored
///   version is still that of `before` (none = there is no view). `next.version` is one higher.
/// - `glance` reads a view that may be older than the newest: only a write whose condition is that view's version may rest
///   on it. A store for which that is not cheaper answers with none, as one does that has none.
/// - `delete_rows` deletes what it can, and names what it did not; positions without a row count
///   as deleted.
/// - `keep_late` and `keep_quarantined` keep the whole. `keep_late` keeps the first event at a key's
///   position, and answers with it when another comes; a store that cannot look (a queue) keeps all.
/// - Keys see nothing of each other.
pub trait Store: Sync {
    /// What can go wrong: whatever it is, nothing was acknowledged.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The view of a key.
    fn view(&self, key: &str) -> impl Future<Output = Result<Option<View>, Self::Error>> + Send;
    /// The view of a key, or one before it; or none, for whatever reason.
    fn glance(&self, _key: &str) -> impl Future<Output = Result<Option<View>, Self::Error>> + Send {
        async { Ok(None) }
    }
    /// Replaces a view by its next version.
    fn put_view(
        &self,
        key: &str,
        before: Option<&View>,
        next: &View,
    ) -> impl Future<Output = Result<Written, Self::Error>> + Send;
    /// The row at a position.
    fn row(&self, key: &str, position: &Position) -> impl Future<Output = Result<Option<Row>, Self::Error>> + Send;
    /// Inserts a row if absent.
    fn insert_row(&self, key: &str, row: &Row) -> impl Future<Output = Result<Inserted, Self::Error>> + Send;
    /// A page of rows.
    fn rows(
        &self,
        key: &str,
        after: Option<&Position>,
        through: Option<&Position>,
    ) -> impl Future<Output = Result<Page, Self::Error>> + Send;
    /// Deletes rows; answers those that were not deleted.
    fn delete_rows(
        &self,
        key: &str,
        positions: &[Position],
    ) -> impl Future<Output = Result<Vec<Position>, Self::Error>> + Send;
    /// Keeps a late event.
    fn keep_late(&self, late: &LateEvent) -> impl Future<Output = Result<Inserted, Self::Error>> + Send;
    /// Keeps what could not be joined.
    fn keep_quarantined(&self, quarantined: &Quarantined) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
