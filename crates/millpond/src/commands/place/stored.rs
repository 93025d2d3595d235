//! A join of a data folder.

use std::cell::RefCell;

use anyhow::{Context, Result, bail};
use millpond_client::Views;
use millpond_client::wire::{
    self, Difference, Erased, EventPage, Explained, LateChoice, LatePage, QuarantinePage, Retried, SnapshotInfo,
    Snapshotted, Stats, StoredEvent, Verified,
};
use millpond_core::Position;
use millpond_core::explain::explain;
use millpond_store::{Accepted, AsOf, DataFolder, KeyView, Options, RowsPage, Store};
use serde_json::value::RawValue;

use super::{AtJoin, KEYS, PAGE, Page, VIEWS, each_page};
use crate::commands::tell_torn;
use crate::exit::{NotFound, Wrong};
use crate::http::{Filter, explained_field, listed};
use crate::output::utc;

pub(super) struct Stored {
    name: String,
    store: Store,
    now: u64,
}

impl Stored {
    pub(super) fn open(folder: &DataFolder, name: &str, now: u64) -> Result<Self> {
        let (store, opened) = Store::open(folder, name, Options::default())?;
        tell_torn(&opened);
        if store.owes_compaction() {
            // An erasure was broken off. If this fails, it is still owed.
            if let Err(error) = store.compact_owed() {
                eprintln!("millpond: bytes of an erasure are still on disk: {error}");
            }
        }
        Ok(Self { name: name.to_owned(), store, now })
    }

    fn no_view(&self, key: &str) -> NotFound {
        NotFound(format!("`{}` has no view of key `{key}`: no event of it was joined", self.name))
    }

    /// The entries that are meant, listed before any is changed.
    fn chosen_late(&self, choice: &LateChoice) -> Result<Vec<(String, Position)>> {
        if let (Some(key), Some(position)) = (&choice.key, &choice.position) {
            return Ok(vec![(key.clone(), position_of(position)?)]);
        }
        let mut entries = Vec::new();
        self.store.each_late(choice.key.as_deref(), |entry| {
            entries.push((entry.key, entry.event.row.position));
            anyhow::Ok(())
        })?;
        Ok(entries)
    }

    fn decide_late(&self, choice: &LateChoice, act: impl Fn(&str, &Position) -> Result<bool>) -> Result<u64> {
        let mut count = 0;
        for (key, position) in self.chosen_late(choice)? {
            count += u64::from(act(&key, &position)?);
        }
        if count == 0 && !choice.all {
            bail!(NotFound("there is no such event in the late queue; `millpond late list` prints it".into()));
        }
        Ok(count)
    }

    fn chosen_quarantined(&self, id: Option<&str>) -> Result<Vec<String>> {
        if let Some(id) = id {
            return Ok(vec![id.to_owned()]);
        }
        let mut ids = Vec::new();
        self.store.each_quarantined(|entry| {
            ids.push(entry.id);
            anyhow::Ok(())
        })?;
        Ok(ids)
    }
}

impl AtJoin for Stored {
    fn document(&self, key: &str, at_ms: Option<u64>) -> Result<String> {
        let Some(at_ms) = at_ms else {
            return self.store.document(key)?.ok_or_else(|| self.no_view(key).into());
        };
        match self.store.document_at(key, at_ms)?.ok_or_else(|| self.no_view(key))? {
            AsOf::Document(document) => Ok(document),
            AsOf::NoEvents => {
                bail!(NotFound(format!("`{}` has no event of key `{key}` as old as {}", self.name, utc(at_ms))))
            }
            AsOf::BeforeSnapshot { through } => {
                let earliest = through.timestamp;
                bail!(
                    "the events of key `{key}` up to {through} are trimmed: it can be shown as it was at {earliest} ({}) or later",
                    utc(earliest)
                )
            }
        }
    }

    fn documents(&self, which: &Views, after: Option<&str>) -> Result<Page> {
        let fields: Vec<&str> = self.store.join().shown_fields().map(|(_, field)| field.name.as_str()).collect();
        let filter = Filter::parse(which.conditions.iter().map(String::as_str), &fields).map_err(Wrong)?;
        let page = self.store.documents(&which.prefix, after, VIEWS)?;
        let next = page.last().filter(|_| page.len() == VIEWS).map(|(key, _)| key.clone());
        let texts =
            page.into_iter().map(|(_, document)| document).filter(|document| filter.matches(document)).collect();
        Ok(Page { texts, next })
    }

    fn keys(&self, after: Option<&str>) -> Result<Page> {
        let texts = self.store.keys("", after, KEYS)?;
        let next = texts.last().filter(|_| texts.len() == KEYS).cloned();
        Ok(Page { texts, next })
    }

    fn history(&self, key: &str, after: Option<&str>) -> Result<EventPage> {
        let after = after.map(position_of).transpose()?;
        let page = self.store.rows_page(key, after.as_ref(), PAGE)?.ok_or_else(|| self.no_view(key))?;
        let RowsPage { rows, through, trimmed_to, trimmed } = page;
        let next = rows.last().filter(|_| rows.len() == PAGE).map(|row| row.position.to_string());
        let event = |row: millpond_core::store::Row| {
            let in_snapshot = through.as_ref().is_some_and(|through| row.position <= *through);
            let event = raw(row.body.to_string())?;
            let Position { timestamp, id } = row.position;
            anyhow::Ok(StoredEvent { timestamp, id: id.to_string(), put_at: row.put_at, in_snapshot, event })
        };
        let events = rows.into_iter().map(event).collect::<Result<_>>()?;
        Ok(EventPage { events, trimmed, trimmed_to: trimmed_to.map(|position| position.to_string()), next })
    }

    fn explained(&self, key: &str) -> Result<Explained> {
        let KeyView { view, tail } = self.store.key_view(key)?.ok_or_else(|| self.no_view(key))?;
        let fields = explain(self.store.join(), &view, &tail)?.into_iter().map(explained_field).collect();
        let snapshot = view.snapshot.as_ref().map(|snapshot| SnapshotInfo {
            through: snapshot.through.to_string(),
            events: snapshot.events,
            closed_at: snapshot.closed_at,
        });
        let tail = tail.len() as u64;
        Ok(Explained { key: key.to_owned(), version: view.version, events: view.events, tail, snapshot, fields })
    }

    fn snapshot(&self, keys: &[String]) -> Result<Vec<Snapshotted>> {
        if let [key] = keys {
            self.store.view(key)?.ok_or_else(|| self.no_view(key))?;
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let made = self.store.snapshot(&keys, self.now)?;
        let told =
            made.iter().map(|made| Snapshotted { closed: made.closed, events: made.events, tail: made.tail_events });
        Ok(told.collect())
    }

    fn trim(&self, key: &str) -> Result<u64> {
        self.store.view(key)?.ok_or_else(|| self.no_view(key))?;
        Ok(self.store.trim(&[key])?.iter().sum())
    }

    fn trim_all(&self) -> Result<(u64, u64)> {
        let (mut keys, mut trimmed) = (0, 0);
        each_page(
            |after| self.keys(after),
            |page| {
                keys += page.len() as u64;
                let page: Vec<&str> = page.iter().map(String::as_str).collect();
                trimmed += self.store.trim(&page)?.iter().sum::<u64>();
                Ok(())
            },
        )?;
        Ok((keys, trimmed))
    }

    fn settle(&self) -> Result<()> {
        Ok(self.store.flush()?)
    }

    fn late(&self, key: Option<&str>, after: Option<&str>) -> Result<LatePage> {
        let after = after.map(late_place).transpose()?;
        let after = after.as_ref().map(|(key, position)| (key.as_str(), position));
        let page = self.store.late_page(key, after, PAGE)?;
        let place = |entry: &millpond_store::LateEntry| {
            serde_json::json!([entry.key, entry.event.row.position.to_string()]).to_string()
        };
        let next = page.last().filter(|_| page.len() == PAGE).map(place);
        let late = page.into_iter().map(|entry| {
            let (row, closed) = (entry.event.row, entry.event.closed);
            anyhow::Ok(wire::LateEntry {
                key: entry.key,
                position: row.position.to_string(),
                received_at: row.put_at,
                closed_through: closed.to_string(),
                event: raw(row.body.to_string())?,
            })
        });
        Ok(LatePage { late: late.collect::<Result<_>>()?, next })
    }

    fn late_accept(&self, choice: &LateChoice) -> Result<u64> {
        self.decide_late(choice, |key, at| Ok(self.store.accept_late(key, at, self.now)? == Accepted::Folded))
    }

    fn late_drop(&self, choice: &LateChoice) -> Result<u64> {
        self.decide_late(choice, |key, at| Ok(self.store.drop_late(key, at)?))
    }

    fn quarantine(&self, after: Option<&str>) -> Result<QuarantinePage> {
        let page = self.store.quarantine_page(after, PAGE)?;
        let next = page.last().filter(|_| page.len() == PAGE).map(|entry| entry.id.clone());
        let quarantine = page.into_iter().map(listed);
        Ok(QuarantinePage { quarantine: quarantine.collect(), next })
    }

    fn quarantined(&self, id: &str) -> Result<Vec<u8>> {
        Ok(self.store.quarantined(id)?.ok_or_else(|| unknown(id))?.bytes.to_vec())
    }

    fn quarantine_retry(&self, id: Option<&str>) -> Result<Retried> {
        let mut done = Retried { left: 0, stay: 0 };
        for id in self.chosen_quarantined(id)? {
            match self.store.retry_quarantined(&id, self.now)? {
                millpond_store::Retried::Left(_) => done.left += 1,
                millpond_store::Retried::Stays(_) => done.stay += 1,
                millpond_store::Retried::Unknown => bail!(unknown(&id)),
            }
        }
        Ok(done)
    }

    fn quarantine_drop(&self, id: Option<&str>) -> Result<u64> {
        let mut dropped = 0;
        for id in self.chosen_quarantined(id)? {
            anyhow::ensure!(self.store.drop_quarantined(&id)?, unknown(&id));
            dropped += 1;
        }
        Ok(dropped)
    }

    fn stats(&self) -> Result<Stats> {
        let (counters, activity) = (self.store.counters(), self.store.activity());
        Ok(Stats {
            join: self.name.clone(),
            at: self.now,
            received: counters.received,
            accepted: counters.accepted,
            duplicate: counters.duplicate,
            late: counters.late,
            quarantined: counters.quarantined,
            ignored: counters.ignored,
            conflicts: counters.conflicts,
            keys: counters.keys,
            snapshots: counters.snapshots,
            trimmed: counters.trimmed,
            divergence: counters.divergence,
            fast: activity.fast,
            looked_up: activity.looked_up,
            newest_at: activity.newest_at,
            disk_bytes: self.store.disk_bytes(),
            ignored_types: counters.ignored_types,
            gaps: counters.gaps,
        })
    }

    fn verify(&self, progress: &dyn Fn(u64)) -> Result<Verified> {
        let shown = RefCell::new(Vec::new());
        let keep = |found: millpond_store::KeyDifference| {
            let millpond_core::verify::Difference { what, stored, refolded } = found.difference;
            shown.borrow_mut().push(Difference { key: found.key, what, stored, refolded });
        };
        let done = self.store.verify(keep, |done| progress(done.keys))?;
        Ok(Verified { keys: done.keys, events: done.rows, differences: done.differences, shown: shown.into_inner() })
    }

    fn erase(&self, key: &str) -> Result<Erased> {
        let nothing = || NotFound(format!("`{}` has nothing of key `{key}`", self.name));
        let done = self.store.erase(key, self.now)?.ok_or_else(nothing)?;
        Ok(Erased {
            key: key.to_owned(),
            view: done.view,
            snapshot: done.snapshot,
            events: done.events,
            late: done.late,
            quarantined: done.quarantined,
            quarantine_mentions: done.quarantine_mentions,
            also_at: done.also_at,
            compacted: done.compacted,
        })
    }
}

fn raw(body: String) -> Result<Box<RawValue>> {
    RawValue::from_string(body).context("a stored event is no JSON: the store is damaged")
}

fn position_of(text: &str) -> Result<Position> {
    text.parse().map_err(|_| anyhow::anyhow!("`{text}` is no position; expected TIMESTAMP/ID"))
}

fn late_place(text: &str) -> Result<(String, Position)> {
    let (key, position): (String, String) = serde_json::from_str(text)?;
    Ok((key, position_of(&position)?))
}

fn unknown(id: &str) -> NotFound {
    NotFound(format!("quarantine has no entry `{id}`; `millpond quarantine list` prints them"))
}
