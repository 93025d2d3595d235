//! A store that does whatever a store may do, and watches what is done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use millpond_core::store::{Inserted, LateEvent, Page, Quarantined, Row, Store, Written};
use millpond_core::{Position, Reason, View};

use crate::events::{Found, LATENESS, MINUTE};
use crate::plan::Fault;
use crate::sim::{Hub, point};

/// How long a write may be under way.
pub(super) const MARGIN: u64 = 10 * MINUTE;
/// When an invocation is stopped, and when the last of its calls has landed.
pub(super) const TIMEOUT: u64 = 3 * MINUTE;
/// How far a clock may be from the truth.
pub(super) const SKEW: u64 = MINUTE + MINUTE / 2;
/// Rows of a page.
const PAGE_ROWS_MAX: usize = 4;

/// A place in the events table.
type Place = (String, Position);
/// A call that is still on its way, and until when.
type Flying = (u64, Box<dyn FnOnce(&mut Tables, &Hub) + Send>);

/// Everything that is stored.
#[derive(Default)]
pub(super) struct Tables {
    views: BTreeMap<String, View>,
    /// What views were before.
    older: BTreeMap<String, Vec<View>>,
    rows: BTreeMap<Place, Row>,
    /// What was ever inserted.
    accepted: BTreeMap<Place, Row>,
    /// What may be deleted.
    pub(super) archived: BTreeSet<Place>,
    late: BTreeSet<(String, String)>,
    quarantined: BTreeSet<String>,
    /// Change records, each of a key and a row.
    pub(super) changes: Vec<(String, Row)>,
    /// Keys whose change records are lost.
    pub(super) lost: BTreeSet<String>,
    /// Keys that are being trimmed, and snapshotted.
    pub(super) trimming: BTreeSet<String>,
    flying: Vec<Flying>,
}

/// The store, for everybody.
pub(super) struct World {
    pub(super) hub: Hub,
    tables: Mutex<Tables>,
}

impl World {
    pub(super) fn new(hub: Hub) -> Self {
        Self { hub, tables: Mutex::default() }
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass; what must have landed by then has.
    pub(super) fn pass(&self, ms: u64) {
        let until = self.hub.now() + ms;
        self.land(|deadline| deadline <= until);
        self.hub.pass(ms);
    }

    /// One of the calls that are on their way lands.
    pub(super) fn land_one(&self) {
        let count = self.tables().flying.len();
        if count > 0 {
            let chosen = self.hub.below(count);
            let (_, effect) = self.tables().flying.swap_remove(chosen);
            effect(&mut self.tables(), &self.hub);
        }
    }

    fn land(&self, is_due: impl Fn(u64) -> bool) {
        loop {
            let mut tables = self.tables();
            let Some(place) = tables.flying.iter().position(|(deadline, _)| is_due(*deadline)) else { return };
            let (_, effect) = tables.flying.swap_remove(place);
            effect(&mut tables, &self.hub);
        }
    }

    /// Whether nothing is on its way.
    pub(super) fn is_still(&self) -> bool {
        let tables = self.tables();
        tables.flying.is_empty() && tables.changes.is_empty() && tables.lost.is_empty()
    }

    /// What there is, for the examiner.
    pub(super) fn found(&self, join: &millpond_core::Join) -> Found {
        let tables = self.tables();
        let mut accepted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((key, _), row) in &tables.accepted {
            accepted.entry(key.clone()).or_default().push(row.body.to_string());
        }
        let document = |(key, view): (&String, &View)| (key.clone(), view.state.document(join, key));
        Found {
            accepted,
            late: tables.late.clone(),
            quarantined: tables.quarantined.clone(),
            documents: tables.views.iter().map(document).collect(),
            ..Found::default()
        }
    }
}

impl Tables {
    fn put_view(&mut self, hub: &Hub, key: &str, before: Option<u64>, next: &View) -> Written {
        let stored = self.views.get(key);
        if stored.map(|view| view.version) != before {
            hub.reached("conflict", 1);
            return Written::Conflict;
        }
        if next.version != before.unwrap_or(0) + 1 {
            hub.wrong(|| format!("{key}: version {} is put over {before:?}", next.version));
        }
        if stored.is_some_and(|view| view.events > next.events) {
            hub.wrong(|| format!("{key}: the view forgets events"));
        }
        let of_key = (key.to_owned(), Position::default())..(format!("{key}\0"), Position::default());
        if let Some(snapshot) = &next.snapshot
            && stored.and_then(View::through) != Some(&snapshot.through)
        {
            hub.reached("snapshot", 1);
            if self.trimming.contains(key) {
                hub.reached("snapshot beside a trim", 1);
            }
            let closed =
                self.accepted.range(of_key).filter(|((_, position), _)| *position <= snapshot.through).count() as u64;
            if closed != snapshot.events {
                let (events, through) = (snapshot.events, &snapshot.through);
                hub.wrong(|| {
                    format!("{key}: a snapshot through {through} has {events} events, and {closed} were accepted")
                });
            }
        }
        let older = self.views.insert(key.to_owned(), next.clone());
        self.older.entry(key.to_owned()).or_default().extend(older);
        Written::Done
    }

    fn insert(&mut self, hub: &Hub, key: &str, row: &Row) -> Inserted {
        let place = (key.to_owned(), row.position.clone());
        if let Some(present) = self.rows.get(&place) {
            hub.reached("duplicate", 1);
            return Inserted::Present(present.clone());
        }
        let through = self.views.get(key).and_then(View::through);
        if through.is_some_and(|through| row.position <= *through) {
            hub.wrong(|| format!("{key}: {} is accepted, and closed", row.position));
        }
        self.rows.insert(place.clone(), row.clone());
        if self.accepted.insert(place, row.clone()).is_some() {
            hub.wrong(|| format!("{key}: {} is accepted twice", row.position));
        }
        if hub.fires(Fault::LostChange) {
            self.lost.insert(key.to_owned());
        } else {
            self.changes.push((key.to_owned(), row.clone()));
        }
        Inserted::New
    }

    fn page(&self, hub: &Hub, key: &str, after: Option<&Position>, through: Option<&Position>) -> Page {
        let is_short = hub.draws(Fault::ShortPage);
        let size = if is_short { 1 } else { 1 + hub.below(PAGE_ROWS_MAX) };
        let of_key = (key.to_owned(), Position::default())..;
        let mut rows: Vec<Row> = self
            .rows
            .range(of_key)
            .take_while(|((of, position), _)| of == key && through.is_none_or(|through| position <= through))
            .filter(|((_, position), _)| after.is_none_or(|after| position > after))
            .map(|(_, row)| row.clone())
            .take(size + 1)
            .collect();
        let more = rows.len() > size;
        rows.truncate(size);
        if is_short && more {
            hub.fired(Fault::ShortPage);
        }
        hub.reached("a page that is not the last", u64::from(more));
        Page { rows, more }
    }

    fn delete(&mut self, hub: &Hub, key: &str, positions: Vec<Position>) -> Vec<Position> {
        let view = self.views.get(key);
        let through = view.and_then(View::through).cloned();
        let marked = view.and_then(|view| view.trimmed_to.clone());
        let mut left = Vec::new();
        for position in positions {
            if through.as_ref().is_none_or(|through| position > *through) {
                hub.wrong(|| format!("{key}: {position} is deleted, and in no snapshot"));
            }
            if marked.as_ref().is_none_or(|marked| position > *marked) {
                hub.wrong(|| format!("{key}: {position} is deleted, and the view does not say so"));
            }
            let place = (key.to_owned(), position.clone());
            if !self.archived.contains(&place) {
                hub.wrong(|| format!("{key}: {position} is deleted, and not archived"));
            }
            if hub.fires(Fault::Unprocessed) {
                left.push(position);
            } else {
                let gone = self.rows.remove(&place).is_some();
                hub.reached("trimmed", u64::from(gone));
            }
        }
        left
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(&'static str);

/// What one invocation has of the store, and of time.
pub(super) struct Calls<'w> {
    world: &'w World,
    /// Its clock is so far ahead of the truth, less [`SKEW`].
    skew: u64,
    began: u64,
    /// Calls until it stops.
    left: AtomicU32,
    died: AtomicBool,
}

impl<'w> Calls<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        let hub = &world.hub;
        let skew = if hub.fires(Fault::Skew) { hub.below(2 * SKEW as usize) as u64 } else { SKEW };
        let left = if hub.draws(Fault::Crash) { hub.below(8) as u32 } else { u32::MAX };
        Self { world, skew, began: hub.now(), left: AtomicU32::new(left), died: AtomicBool::new(false) }
    }

    /// The clock of whoever runs.
    pub(super) fn now(&self) -> u64 {
        self.world.hub.now() + self.skew - SKEW
    }

    /// Whether it has stopped, or must.
    pub(super) fn is_over(&self) -> bool {
        self.died.load(Ordering::Relaxed) || self.world.hub.now() > self.began + TIMEOUT
    }

    async fn dies(&self) {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 {
            if !self.died.swap(true, Ordering::Relaxed) {
                self.world.hub.fired(Fault::Crash); // one that is done before is not met by it
            }
            pending().await
        }
    }

    async fn call<R: Send + fmt::Debug>(
        &self,
        what: &'static str,
        request: String,
        effect: impl FnOnce(&mut Tables, &Hub) -> R + Send + 'static,
    ) -> Result<R, Failed> {
        let World { hub, .. } = self.world;
        point().await;
        self.dies().await;
        hub.trace((what, request));
        if hub.fires(Fault::Refused) {
            return Err(Failed("refused"));
        }
        if what.starts_with("write") && hub.fires(Fault::Delayed) {
            let lands = move |tables: &mut Tables, hub: &Hub| hub.trace(format!("{:?}", effect(tables, hub)));
            self.world.tables().flying.push((self.began + 2 * TIMEOUT, Box::new(lands)));
            point().await;
            return Err(Failed("the call goes on without us"));
        }
        let answer = effect(&mut self.world.tables(), hub);
        hub.trace(format!("{answer:?}"));
        self.dies().await;
        point().await;
        if hub.fires(Fault::Lost) {
            return Err(Failed("the answer is lost"));
        }
        Ok(answer)
    }
}

impl Store for Calls<'_> {
    type Error = Failed;

    async fn view(&self, key: &str) -> Result<Option<View>, Failed> {
        let key = key.to_owned();
        self.call("view", key.clone(), move |tables, _| tables.views.get(&key).cloned()).await
    }

    async fn glance(&self, key: &str) -> Result<Option<View>, Failed> {
        let key = key.to_owned();
        self.call("glance", key.clone(), move |tables, hub| {
            // Nothing can be older than what never was.
            if tables.views.contains_key(&key) && hub.fires(Fault::Stale) {
                let older = tables.older.get(&key).map_or(&[][..], Vec::as_slice);
                return (!older.is_empty()).then(|| older[hub.below(older.len())].clone());
            }
            tables.views.get(&key).cloned()
        })
        .await
    }

    async fn put_view(&self, key: &str, before: Option<&View>, next: &View) -> Result<Written, Failed> {
        let (key, before, next) = (key.to_owned(), before.map(|view| view.version), next.clone());
        self.call("write view", format!("{key} {before:?} {next:?}"), move |tables, hub| {
            tables.put_view(hub, &key, before, &next)
        })
        .await
    }

    async fn row(&self, key: &str, position: &Position) -> Result<Option<Row>, Failed> {
        let place = (key.to_owned(), position.clone());
        self.call("row", format!("{place:?}"), move |tables, _| tables.rows.get(&place).cloned()).await
    }

    async fn insert_row(&self, key: &str, row: &Row) -> Result<Inserted, Failed> {
        let (key, row) = (key.to_owned(), row.clone());
        self.call("write row", format!("{key} {row:?}"), move |tables, hub| tables.insert(hub, &key, &row)).await
    }

    async fn rows(&self, key: &str, after: Option<&Position>, through: Option<&Position>) -> Result<Page, Failed> {
        let (key, after, through) = (key.to_owned(), after.cloned(), through.cloned());
        self.call("rows", format!("{key} {after:?} {through:?}"), move |tables, hub| {
            tables.page(hub, &key, after.as_ref(), through.as_ref())
        })
        .await
    }

    async fn delete_rows(&self, key: &str, positions: &[Position]) -> Result<Vec<Position>, Failed> {
        let (key, positions) = (key.to_owned(), positions.to_vec());
        self.call("write deletes", format!("{key} {positions:?}"), move |tables, hub| {
            tables.delete(hub, &key, positions)
        })
        .await
    }

    async fn keep_late(&self, late: &LateEvent) -> Result<Inserted, Failed> {
        let late = late.clone();
        self.call("write late", format!("{late:?}"), move |tables, hub| {
            let is_open = late.row.position.timestamp > hub.now() + SKEW - (LATENESS - MARGIN);
            if is_open {
                hub.wrong(|| format!("{}: {} is late, and its place is open", late.key, late.row.position));
            }
            hub.reached("late", 1);
            tables.late.insert((late.key.into(), late.row.body.into()));
            Inserted::New
        })
        .await
    }

    async fn keep_quarantined(&self, quarantined: &Quarantined) -> Result<(), Failed> {
        let text = String::from_utf8_lossy(&quarantined.bytes).into_owned();
        let is_other_body = quarantined.rejection.reason == Reason::Conflict;
        self.call("write quarantine", format!("{quarantined:?}"), move |tables, hub| {
            hub.reached("quarantined", 1);
            hub.reached("same id, other body", u64::from(is_other_body));
            tables.quarantined.insert(text);
        })
        .await
    }
}
