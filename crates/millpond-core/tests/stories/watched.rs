//! The memory store, watched: counts what is asked of it, leaves deletions undone, and lets
//! something happen just before a view is written.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use millpond_core::memory::MemoryStore;
use millpond_core::store::{Inserted, LateEvent, Page, Quarantined, Row, Store, Written};
use millpond_core::{Position, View};

/// What was asked of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) views_read: u32,
    pub(crate) views_written: u32,
    pub(crate) pages_read: u32,
    pub(crate) rows_read: u32,
    pub(crate) delete_batches: u32,
}

type Meanwhile = Box<dyn FnOnce(&MemoryStore) + Send>;

#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) inner: MemoryStore,
    calls: Mutex<Calls>,
    glanced: Mutex<Option<View>>,
    meanwhile: Mutex<VecDeque<Meanwhile>>,
    /// Of each batch, how many deletions are left undone, how many times.
    undone: Mutex<(usize, u32)>,
}

impl Watched {
    /// The calls since the last time.
    pub(crate) fn calls(&self) -> Calls {
        std::mem::take(&mut self.calls.lock().expect("no test panics with the lock"))
    }

    /// Whoever glances at a view from now on sees this one.
    pub(crate) fn glances(&self, view: Option<View>) {
        *self.glanced.lock().expect("no test panics with the lock") = view;
    }

    /// Before the next view is written, and before each retry, one of these happens.
    pub(crate) fn meanwhile(&self, act: impl FnOnce(&MemoryStore) + Send + 'static) {
        self.meanwhile.lock().expect("no test panics with the lock").push_back(Box::new(act));
    }

    /// Of the next `times` batches of deletions, `rows` are left undone.
    pub(crate) fn leave_undone(&self, rows: usize, times: u32) {
        *self.undone.lock().expect("no test panics with the lock") = (rows, times);
    }

    fn count(&self, count: impl FnOnce(&mut Calls)) {
        count(&mut self.calls.lock().expect("no test panics with the lock"));
    }
}

impl Store for Watched {
    type Error = Infallible;

    async fn view(&self, key: &str) -> Result<Option<View>, Infallible> {
        self.count(|calls| calls.views_read += 1);
        self.inner.view(key).await
    }

    async fn glance(&self, _: &str) -> Result<Option<View>, Infallible> {
        Ok(self.glanced.lock().expect("no test panics with the lock").clone())
    }

    async fn put_view(&self, key: &str, before: Option<&View>, next: &View) -> Result<Written, Infallible> {
        let meanwhile = self.meanwhile.lock().expect("no test panics with the lock").pop_front();
        if let Some(act) = meanwhile {
            act(&self.inner);
        }
        self.count(|calls| calls.views_written += 1);
        self.inner.put_view(key, before, next).await
    }

    async fn row(&self, key: &str, position: &Position) -> Result<Option<Row>, Infallible> {
        self.inner.row(key, position).await
    }

    async fn insert_row(&self, key: &str, row: &Row) -> Result<Inserted, Infallible> {
        self.inner.insert_row(key, row).await
    }

    async fn rows(&self, key: &str, after: Option<&Position>, through: Option<&Position>) -> Result<Page, Infallible> {
        let page = self.inner.rows(key, after, through).await?;
        self.count(|calls| {
            calls.pages_read += 1;
            calls.rows_read += page.rows.len() as u32;
        });
        Ok(page)
    }

    async fn delete_rows(&self, key: &str, positions: &[Position]) -> Result<Vec<Position>, Infallible> {
        let view = self.inner.view(key).await?;
        // Of what was erased nobody needs to be told.
        let told = view.and_then(|view| match view.snapshot {
            Some(snapshot) if snapshot.is_of_erased() => Some(snapshot.through),
            _ => view.trimmed_to,
        });
        assert!(positions.iter().all(|position| Some(position) <= told.as_ref()), "deleted before the view says so");
        self.count(|calls| calls.delete_batches += 1);
        let undone = {
            let mut undone = self.undone.lock().expect("no test panics with the lock");
            let rows = if undone.1 > 0 { undone.0.min(positions.len()) } else { 0 };
            undone.1 = undone.1.saturating_sub(1);
            rows
        };
        let (left, deleted) = positions.split_at(undone);
        self.inner.delete_rows(key, deleted).await?;
        Ok(left.to_vec())
    }

    async fn keep_late(&self, late: &LateEvent) -> Result<Inserted, Infallible> {
        self.inner.keep_late(late).await
    }

    async fn keep_quarantined(&self, quarantined: &Quarantined) -> Result<(), Infallible> {
        self.inner.keep_quarantined(quarantined).await
    }
}
