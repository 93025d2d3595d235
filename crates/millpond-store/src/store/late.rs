//! The late queue: events whose place was closed when they came. A person decides about them,
//! since a late event and a late repeat of a trimmed one look the same.

use std::ops::ControlFlow;

use millpond_core::store::LateEvent;
use millpond_core::{At, Event, Position};
use serde::{Deserialize, Serialize};

use super::Store;
use super::commit::Commit;
use super::read::whole_view;
use crate::error::Error;
use crate::keys::{row_key, row_prefix};
use crate::op::Table;

/// What the table holds at (key, position).
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum LateValue {
    /// Nobody has decided.
    Waiting(LateEvent),
    /// It was folded into the snapshot; should it come again, it is a duplicate.
    Accepted { at: u64 },
}

/// An entry of the late queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateEntry {
    /// The key it would join.
    pub key: String,
    /// The event.
    pub event: LateEvent,
}

/// What accepting a late event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Folded into the snapshot and the view.
    Folded,
    /// There is no such entry.
    Unknown,
}

pub(super) fn late_key(key: &str, at: At<'_>) -> Vec<u8> {
    row_key(key.as_bytes(), at)
}

impl LateValue {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a late event always has bytes: it is plain data")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        postcard::from_bytes(bytes).map_err(|_| Error::Unreadable { what: "an entry of the late queue".into() })
    }
}

impl Store {
    /// Hands over the waiting entries, in the order of key and position; all, or those of a key.
    ///
    /// # Errors
    /// If the tables cannot be read, or `each` fails.
    pub fn each_late<E: From<Error>>(
        &self,
        key: Option<&str>,
        mut each: impl FnMut(LateEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_side(Table::Late, |_, value| match LateValue::decode(value)? {
            LateValue::Waiting(event) if key.is_none_or(|key| key == &*event.key) => {
                each(LateEntry { key: event.key.to_string(), event })
            }
            _ => Ok(()),
        })
    }

    /// Up to `limit` waiting entries after one, in the order of key and position; all, or those of
    /// a key.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn late_page(
        &self,
        key: Option<&str>,
        after: Option<(&str, &Position)>,
        limit: usize,
    ) -> Result<Vec<LateEntry>, Error> {
        let prefix = key.map_or_else(Vec::new, row_prefix);
        let after = after.map_or_else(Vec::new, |(key, at)| [&late_key(key, at.at())[..], &[0]].concat());
        let mut page = Vec::new();
        self.scan_side(Table::Late, (&prefix).max(&after), |place, value| {
            if page.len() == limit || !place.starts_with(&prefix) {
                return Ok::<_, Error>(ControlFlow::Break(()));
            }
            if let LateValue::Waiting(event) = LateValue::decode(value)? {
                page.push(LateEntry { key: event.key.to_string(), event });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }

    /// Folds a waiting event into the snapshot of its key, for ever: the caller vouches that it is
    /// no repeat of a trimmed one.
    ///
    /// # Errors
    /// If the store failed; then nothing was changed.
    pub fn accept_late(&self, key: &str, position: &Position, now: u64) -> Result<Accepted, Error> {
        self.commit(|commit| {
            let place = late_key(key, position.at());
            let Some(value) = commit.get(Table::Late, &place)? else { return Ok(Accepted::Unknown) };
            let LateValue::Waiting(late) = LateValue::decode(&value)? else { return Ok(Accepted::Unknown) };
            self.fold_late(commit, key, &late)?;
            commit.put(Table::Late, &place, Some(&LateValue::Accepted { at: now }.encode()));
            let counters = &mut commit.memory.counters;
            counters.late = counters.late.saturating_sub(1);
            counters.accepted += 1;
            let newest_at = &mut commit.memory.activity.newest_at;
            *newest_at = (*newest_at).max(Some(position.timestamp));
            Ok(Accepted::Folded)
        })
    }

    /// Removes a waiting event; whether there was one.
    ///
    /// # Errors
    /// If the store failed; then nothing was changed.
    pub fn drop_late(&self, key: &str, position: &Position) -> Result<bool, Error> {
        self.commit(|commit| {
            let place = late_key(key, position.at());
            let value = commit.get(Table::Late, &place)?.map(|value| LateValue::decode(&value)).transpose()?;
            let waiting = matches!(value, Some(LateValue::Waiting(_)));
            if waiting {
                commit.put(Table::Late, &place, None);
            }
            Ok(waiting)
        })
    }

    /// Both the snapshot and the state take the event; folds being order-free, that is exact.
    fn fold_late(&self, commit: &mut Commit<'_>, key: &str, late: &LateEvent) -> Result<(), Error> {
        let unreadable = |source| Error::Row { key: key.into(), position: late.row.position.clone(), source };
        let slot = commit.slot_of(key)?;
        let view = whole_view(self, commit.memory, slot)?;
        let Some(mut snapshot) = view.snapshot else {
            return Err(Error::Unreadable { what: format!("the snapshot of key `{key}`") });
        };
        let event = Event::read(&self.join, late.row.body.as_bytes()).map_err(unreadable)?;
        let mut record = commit.memory.cache.slot(slot).record.clone();
        if let Some(kind) = self.join.type_index(&event.kind) {
            snapshot.state.fold(&self.join, kind, &event);
            record.state.fold(&self.join, kind, &event);
        }
        snapshot.events += 1;
        record.events += 1;
        if let Some(closed) = &mut record.closed {
            closed.events += 1;
        }
        // The row joins those that the snapshot covers, for as long as they are kept: a rebuild needs it.
        if record.trimmed_to.as_ref().is_none_or(|trimmed_to| late.row.position > *trimmed_to) {
            commit.put_row(slot, late.row.position.at(), late.row.put_at, &late.row.body);
        } else {
            record.trimmed += 1;
        }
        commit.put_snapshot(slot, &snapshot);
        commit.put_record(slot, record);
        Ok(())
    }
}
