//! The right answer for some of the keys of a workload that is too large to hold its whole answer in memory.

use anyhow::{Context, ensure};
use millpond_store::Store;

use crate::oracle::Oracle;

/// Keys that are checked, about.
const SAMPLE_KEYS: u64 = 1_000;

/// An oracle that takes every so many keys, all of them if there are few.
#[derive(Debug)]
pub(super) struct Sample {
    every: u64,
    oracle: Oracle,
}

impl Sample {
    pub(super) fn of(keys: u64) -> Self {
        Self { every: (keys / SAMPLE_KEYS).max(1), oracle: Oracle::new() }
    }

    /// Takes a line of the workload if it is of a sampled key.
    pub(super) fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let number: u64 =
            after(line, r#""partitionKey":"user-"#)?.parse().context("a key of the workload is a number")?;
        if number.is_multiple_of(self.every) { self.oracle.take(line) } else { Ok(()) }
    }

    /// Compares the store's views with the oracle's.
    pub(super) fn check(&self, store: &Store) -> anyhow::Result<()> {
        for expected in self.oracle.views() {
            let key = after(&expected, r#"{"id":""#)?;
            let document = store.document(key)?;
            ensure!(document.as_ref() == Some(&expected), "wrong answer: {document:?}; right is {expected}");
        }
        Ok(())
    }
}

/// The rest of a JSON string behind `start`; the workload's keys need no escapes.
fn after<'l>(line: &'l str, start: &str) -> anyhow::Result<&'l str> {
    let (_, rest) = line.split_once(start).with_context(|| format!("no {start} in {line}"))?;
    Ok(rest.split('"').next().unwrap_or(rest))
}
