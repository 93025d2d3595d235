//! Single events amid the load, each looked for as soon as it is acknowledged: it must be in its view.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::schedule::{Schedule, Times, wait_until};
use super::shared::Shared;
use super::taken::{JSON, Taken};
use super::traffic::now_ms;

/// Keys of the probes: as many as keep each key's tail short.
pub(super) const PROBE_KEYS: usize = 16;

/// A probe key, whose events only count.
pub(super) fn probe_key(number: usize) -> String {
    format!("{PREFIX}{number:02}")
}

/// Sorts behind the workload's keys.
pub(super) const PREFIX: &str = "z-probe-";

/// When each event of each probe key was due: the reader of changes reads it.
#[derive(Debug, Default)]
pub(super) struct Probes {
    due: [Mutex<Vec<(Instant, bool)>>; PROBE_KEYS],
}

/// What the prober saw.
#[derive(Debug, Default)]
pub(super) struct Probed {
    /// From the time an event was due to its acknowledgement.
    pub(super) acknowledged: Times,
    /// From its acknowledgement to the answer that has it in its view.
    pub(super) visible: Times,
}

impl Probes {
    /// Events sent to a key so far.
    pub(super) fn sent(&self, key: usize) -> usize {
        self.of(key).len()
    }

    /// When an event was due, and whether that was measured.
    pub(super) fn due(&self, key: usize, event: usize) -> Option<(Instant, bool)> {
        self.of(key).get(event).copied()
    }

    fn of(&self, key: usize) -> std::sync::MutexGuard<'_, Vec<(Instant, bool)>> {
        self.due[key].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends and looks until it is stopped. The last event comes after all that others sent: whoever is told of it was told
/// of everything.
pub(super) fn probe(shared: &Shared, probes: &Probes, schedule: &Schedule) -> Probed {
    let mut probed = Probed::default();
    let mut connection = None;
    while let Some((number, due)) = schedule.next() {
        wait_until(due);
        let is_last = shared.is_stopped();
        let (at, measured) = (number as usize % PROBE_KEYS, shared.is_measuring());
        let key = probe_key(at);
        probes.of(at).push((due, measured));
        let events = probes.sent(at) as u64;
        let looked = shared.with(&mut connection, "an event and its view", |connection| {
            Taken::of(connection, JSON, event(&key, events)?.as_bytes(), 1)?;
            let acknowledged = Instant::now();
            let answer = connection.get(&format!("/v1/views/user-activity/{key}"), "")?.expect(200)?;
            let visible = acknowledged.elapsed();
            let document: Value = serde_json::from_slice(answer).context("a view is JSON")?;
            ensure!(document["recentOrderCount"] == events, "acknowledged {events}, and read {document}");
            Ok((acknowledged, visible))
        });
        if let Some((acknowledged, visible)) = looked.filter(|_| measured) {
            probed.acknowledged.add(acknowledged - due);
            probed.visible.add(visible);
        }
        if is_last {
            break;
        }
    }
    probed
}

/// An order of a probe's key, happening now.
fn event(key: &str, number: u64) -> anyhow::Result<String> {
    let now = now_ms()?;
    Ok(format!(
        r#"{{"id":"{key}-{number}","type":"order-submitted","timestamp":{now},"order":{{"id":"{number}","userId":"{key}"}}}}"#
    ))
}
