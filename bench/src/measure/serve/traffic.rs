//! The workload's events as if they happened now: so tails close and are trimmed while it runs.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::ledger::{Ledger, TIMESTAMP};
use crate::rng::Rng;
use crate::workload::{Lines, Workload};

/// Copies of events that were acknowledged before.
const DUPLICATE_SHARE: f64 = 0.02;
/// Events that come behind younger ones, and how far at most.
const DISORDER_SHARE: f64 = 0.05;
const DISORDER_MS_MAX: u64 = 500;
/// Digits of a timestamp from 2001 to 2286.
const TIMESTAMP_DIGITS: usize = 13;

/// What one sender sends, batch after batch.
pub(super) struct Traffic {
    lines: Lines,
    chance: Rng,
    /// Of the batch before, which was acknowledged.
    before: Vec<String>,
}

/// The events of one request, as NDJSON.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) text: String,
    pub(super) lines: Vec<String>,
    pub(super) repeated: u64,
}

impl Traffic {
    /// Senders of different numbers send different events.
    pub(super) fn new(seed: u64, keys: u64) -> Self {
        let workload = Workload { seed, events: u64::MAX, keys, duplicate_share: 0.0, disorder_share: 0.0 };
        Self { lines: workload.lines(), chance: Rng::new(seed, SENDER_STREAM), before: Vec::new() }
    }

    /// The next events; `batch` holds those that were acknowledged last.
    pub(super) fn next(&mut self, batch: &mut Batch, events: usize) -> anyhow::Result<()> {
        std::mem::swap(&mut self.before, &mut batch.lines);
        batch.text.clear();
        batch.repeated = 0;
        let now = now_ms()?;
        let mut spare = std::mem::take(&mut batch.lines).into_iter();
        let mut lines = Vec::with_capacity(events);
        for _ in 0..events {
            if !self.before.is_empty() && self.chance.chance(DUPLICATE_SHARE) {
                batch.text.push_str(self.chance.pick::<String>(&self.before));
                batch.repeated += 1;
            } else {
                let mut line = spare.next().unwrap_or_default();
                self.draw(&mut line, now)?;
                batch.text.push_str(&line);
                lines.push(line);
            }
            batch.text.push('\n');
        }
        batch.lines = lines;
        Ok(())
    }

    fn draw(&mut self, line: &mut String, now: u64) -> anyhow::Result<()> {
        let drawn = self.lines.next_line().context("the workload has no end")?;
        let at = drawn.find(TIMESTAMP).context("a line has a timestamp")? + TIMESTAMP.len();
        let behind = if self.chance.chance(DISORDER_SHARE) { self.chance.below(DISORDER_MS_MAX) } else { 0 };
        line.clear();
        line.push_str(&drawn[..at]);
        line.push_str(&(now - behind).to_string());
        line.push_str(&drawn[at + TIMESTAMP_DIGITS..]);
        Ok(())
    }
}

impl Batch {
    pub(super) fn events(&self) -> u64 {
        self.lines.len() as u64 + self.repeated
    }

    /// They were acknowledged: they must be there.
    pub(super) fn enter(&self, ledger: &Ledger) -> anyhow::Result<()> {
        self.lines.iter().try_for_each(|line| ledger.take(line))?;
        ledger.repeat(self.repeated);
        Ok(())
    }
}

const SENDER_STREAM: u64 = 3;

pub(super) fn now_ms() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64)
}
