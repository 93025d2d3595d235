//! The memory store: the port's plainest meaning, for tests and for reading.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::position::Position;
use crate::store::{Inserted, LateEvent, Page, Quarantined, Row, Store, Written};
use crate::view::View;

/// Rows of a page; small, so that paging is always exercised.
const PAGE_ROWS: usize = 7;

/// Everything in maps behind one lock. It holds its writers to the port's contract: one whose next version of a view is
/// not one higher has a fault, and panics.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    views: BTreeMap<String, View>,
    rows: BTreeMap<(String, Position), Row>,
    late: BTreeMap<(String, Position), LateEvent>,
    quarantined: Vec<Quarantined>,
}

impl MemoryStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A panic while holding the lock is a failed test; the maps themselves are never half written.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All keys with a view, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.tables().views.keys().cloned().collect()
    }

    /// The late queue, in the order of key and position.
    #[must_use]
    pub fn late(&self) -> Vec<LateEvent> {
        self.tables().late.values().cloned().collect()
    }

    /// The quarantine, in the order of arrival.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.tables().quarantined.clone()
    }
}

impl Store for MemoryStore {
    type Error = Infallible;

    async fn view(&self, key: &str) -> Result<Option<View>, Infallible> {
        Ok(self.tables().views.get(key).cloned())
    }

    async fn put_view(&self, key: &str, before: Option<&View>, next: &View) -> Result<Written, Infallible> {
        let mut tables = self.tables();
        let version = |view: &View| view.version;
        assert_eq!(next.version, before.map_or(0, version) + 1, "the versions of `{key}` are counted");
        if tables.views.get(key).map(version) != before.map(version) {
            return Ok(Written::Conflict);
        }
        tables.views.insert(key.into(), next.clone());
        Ok(Written::Done)
    }

    async fn row(&self, key: &str, position: &Position) -> Result<Option<Row>, Infallible> {
        Ok(self.tables().rows.get(&(key.to_owned(), position.clone())).cloned())
    }

    async fn insert_row(&self, key: &str, row: &Row) -> Result<Inserted, Infallible> {
        let mut tables = self.tables();
        let place = (key.to_owned(), row.position.clone());
        if let Some(present) = tables.rows.get(&place) {
            return Ok(Inserted::Present(present.clone()));
        }
        tables.rows.insert(place, row.clone());
        Ok(Inserted::New)
    }

    async fn rows(&self, key: &str, after: Option<&Position>, through: Option<&Position>) -> Result<Page, Infallible> {
        let start = match after {
            Some(after) => Bound::Excluded((key.to_owned(), after.clone())),
            None => Bound::Included((key.to_owned(), Position::default())),
        };
        let tables = self.tables();
        let mut rows: Vec<Row> = tables
            .rows
            .range((start, Bound::Unbounded))
            .take_while(|((of, position), _)| of == key && through.is_none_or(|through| position <= through))
            .map(|(_, row)| row.clone())
            .take(PAGE_ROWS + 1)
            .collect();
        let more = rows.len() > PAGE_ROWS;
        rows.truncate(PAGE_ROWS);
        Ok(Page { rows, more })
    }

    async fn delete_rows(&self, key: &str, positions: &[Position]) -> Result<Vec<Position>, Infallible> {
        let mut tables = self.tables();
        for position in positions {
            tables.rows.remove(&(key.to_owned(), position.clone()));
        }
        Ok(Vec::new())
    }

    async fn keep_late(&self, late: &LateEvent) -> Result<Inserted, Infallible> {
        let mut tables = self.tables();
        let place = (late.key.to_string(), late.row.position.clone());
        if let Some(present) = tables.late.get(&place) {
            return Ok(Inserted::Present(present.row.clone()));
        }
        tables.late.insert(place, late.clone());
        Ok(Inserted::New)
    }

    async fn keep_quarantined(&self, quarantined: &Quarantined) -> Result<(), Infallible> {
        self.tables().quarantined.push(quarantined.clone());
        Ok(())
    }
}
