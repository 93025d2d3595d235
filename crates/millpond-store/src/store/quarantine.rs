//! Quarantine: what could not be joined, whole, with its reason.

use std::ops::ControlFlow;

use millpond_core::Reason;
use millpond_core::process::consumer::{self, Read};
use millpond_core::store::Quarantined;
use xxhash_rust::xxh3::xxh3_128;

use super::Store;
use super::commit::Commit;
use super::ingest::{Batch, Outcome, ingest_event};
use crate::error::Error;
use crate::op::Table;

/// An entry of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// Identifies the bytes: 32 hexadecimal digits.
    pub id: String,
    /// What, why and when.
    pub quarantined: Quarantined,
}

/// What became of a retried entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It left the quarantine, with these outcomes.
    Left(Vec<Outcome>),
    /// It is still no event that could be joined.
    Stays(Outcome),
    /// There is no such entry.
    Unknown,
}

/// Keeps an entry. The same bytes are kept once, however often they come.
pub(super) fn keep(commit: &mut Commit<'_>, quarantined: &Quarantined) -> Result<(), Error> {
    let place = identity(quarantined).to_be_bytes();
    if commit.get(Table::Quarantine, &place)?.is_none() {
        commit.put(Table::Quarantine, &place, Some(&encode(quarantined)));
    }
    Ok(())
}

/// Of a broken piece perhaps only the head is kept: then where it lay is part of what it is.
fn identity(quarantined: &Quarantined) -> u128 {
    let Quarantined { rejection, bytes, .. } = quarantined;
    match rejection.reason {
        Reason::BrokenInput => xxh3_128(&[bytes.as_slice(), rejection.detail.as_bytes()].concat()),
        _ => xxh3_128(bytes),
    }
}

fn place_of(id: &str) -> Option<[u8; 16]> {
    (id.len() == 32).then(|| u128::from_str_radix(id, 16).ok()).flatten().map(u128::to_be_bytes)
}

fn encode(quarantined: &Quarantined) -> Vec<u8> {
    postcard::to_stdvec(quarantined).expect("an entry always has bytes: it is plain data")
}

pub(super) fn decode(bytes: &[u8]) -> Result<Quarantined, Error> {
    postcard::from_bytes(bytes).map_err(|_| Error::Unreadable { what: "an entry of the quarantine".into() })
}

impl Store {
    /// Hands over the entries, in the order of their ids.
    ///
    /// # Errors
    /// If the tables cannot be read, or `each` fails.
    pub fn each_quarantined<E: From<Error>>(
        &self,
        mut each: impl FnMut(QuarantineEntry) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_side(Table::Quarantine, |place, value| {
            each(QuarantineEntry { id: id_of(place), quarantined: decode(value)? })
        })
    }

    /// Tries to join an entry again: it may have been from the future, of a type that another
    /// definition knows, or without the key that this one asks for.
    ///
    /// # Errors
    /// If the store failed.
    pub fn retry_quarantined(&self, id: &str, now: u64) -> Result<Retried, Error> {
        let Some(place) = place_of(id) else { return Ok(Retried::Unknown) };
        self.commit(|commit| {
            let now = commit.clock(now);
            let Some(value) = commit.get(Table::Quarantine, &place)? else { return Ok(Retried::Unknown) };
            let Quarantined { rejection, bytes, at } = decode(&value)?;
            let position = match consumer::read(&self.join, &bytes, now) {
                Err(rejection) => return Ok(Retried::Stays(Outcome::Quarantined(rejection.reason))),
                Ok(Read::Ignored(_)) => return Ok(Retried::Stays(Outcome::Ignored)),
                Ok(Read::Joins(event, ..)) => event.position().to_position(),
            };
            let mut outcomes = Vec::new();
            let batch = Batch { events: &[&bytes], now, ..Batch::default() };
            ingest_event(commit, &batch, &bytes, |outcome| outcomes.push(outcome))?;
            // It was counted when it came; what it became is counted now.
            let counters = &mut commit.memory.counters;
            counters.received = counters.received.saturating_sub(1);
            counters.quarantined = counters.quarantined.saturating_sub(1);
            counters.conflicts = counters.conflicts.saturating_sub(u64::from(rejection.reason == Reason::Conflict));
            let conflict = outcomes.iter().find(|outcome| matches!(outcome, Outcome::Quarantined(_)));
            if let Some(stays) = conflict.filter(|_| place == xxh3_128(&bytes).to_be_bytes()) {
                let rejection = consumer::conflict(position.at());
                commit.put(Table::Quarantine, &place, Some(&encode(&Quarantined { rejection, at, bytes })));
                return Ok(Retried::Stays(*stays));
            }
            commit.put(Table::Quarantine, &place, None);
            Ok(Retried::Left(outcomes))
        })
    }

    /// Removes an entry for good; whether there was one.
    ///
    /// # Errors
    /// If the store failed.
    pub fn drop_quarantined(&self, id: &str) -> Result<bool, Error> {
        let Some(place) = place_of(id) else { return Ok(false) };
        self.commit(|commit| {
            let there = commit.get(Table::Quarantine, &place)?.is_some();
            if there {
                commit.put(Table::Quarantine, &place, None);
            }
            Ok(there)
        })
    }

    /// Up to `limit` entries after an id, in the order of ids.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn quarantine_page(&self, after: Option<&str>, limit: usize) -> Result<Vec<QuarantineEntry>, Error> {
        let start = after.and_then(place_of).map_or_else(Vec::new, |place| [&place[..], &[0]].concat());
        let mut page = Vec::new();
        self.scan_side(Table::Quarantine, &start, |place, value| {
            if page.len() == limit {
                return Ok::<_, Error>(ControlFlow::Break(()));
            }
            page.push(QuarantineEntry { id: id_of(place), quarantined: decode(value)? });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }

    /// An entry.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn quarantined(&self, id: &str) -> Result<Option<Quarantined>, Error> {
        let Some(place) = place_of(id) else { return Ok(None) };
        let value = self.settled()?.get(&self.lsm, Table::Quarantine, &place)?;
        value.map(|value| decode(&value)).transpose()
    }
}

pub(super) fn id_of(place: &[u8]) -> String {
    place.iter().map(|byte| format!("{byte:02x}")).collect()
}
