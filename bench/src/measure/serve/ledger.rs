//! What must be there at the end: the views that follow from the events that were acknowledged, folded plainly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// The views of the workload's numbered keys.
#[derive(Debug)]
pub(super) struct Ledger {
    users: Vec<Mutex<User>>,
    distinct: AtomicU64,
    repeated: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct User {
    /// Of the `user-created` with the highest (timestamp, id); the name as it stands between JSON's quotes.
    name: Option<(u64, String, String)>,
    last_login: u64,
    orders: u64,
    events: u64,
}

impl Ledger {
    pub(super) fn new(keys: u64) -> Self {
        let users = (0..keys).map(|_| Mutex::default()).collect();
        Self { users, distinct: AtomicU64::new(0), repeated: AtomicU64::new(0) }
    }

    pub(super) fn keys(&self) -> u64 {
        self.users.len() as u64
    }

    /// Takes a line of the workload that was acknowledged, once.
    pub(super) fn take(&self, line: &str) -> anyhow::Result<()> {
        let number: usize = part(line, r#""partitionKey":"user-"#)?.parse()?;
        let mut user = self.user(number)?;
        let timestamp = timestamp(line)?;
        match part(line, r#""type":""#)? {
            "user-created" => {
                let id = part(line, r#""id":""#)?;
                let newer = user.name.as_ref().is_none_or(|(at, by, _)| (timestamp, id) > (*at, by));
                if newer {
                    user.name = Some((timestamp, id.to_owned(), name(line)?.to_owned()));
                }
            }
            "user-loggedIn" => user.last_login = user.last_login.max(timestamp),
            "order-submitted" => user.orders += 1,
            other => bail!("unknown type {other}"),
        }
        user.events += 1;
        self.distinct.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Counts copies of lines that were taken before, acknowledged too.
    pub(super) fn repeat(&self, lines: u64) {
        self.repeated.fetch_add(lines, Ordering::Relaxed);
    }

    /// Whether the key has a view.
    pub(super) fn has(&self, number: u64) -> anyhow::Result<bool> {
        Ok(self.user(number as usize)?.events > 0)
    }

    pub(super) fn distinct(&self) -> u64 {
        self.distinct.load(Ordering::Relaxed)
    }

    pub(super) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Keys that have a view.
    pub(super) fn views(&self) -> anyhow::Result<u64> {
        (0..self.keys()).map(|number| Ok(u64::from(self.has(number)?))).sum()
    }

    /// Compares a view with what follows from the lines.
    pub(super) fn check(&self, number: u64, document: &str) -> anyhow::Result<()> {
        let user = self.user(number as usize)?.clone();
        let key = super::key(number);
        let name = user.name.as_ref().map_or("**NOT SET**", |(_, _, name)| name);
        let (last_login, orders) = (user.last_login, user.orders);
        let right = format!(r#"{{"id":"{key}","name":"{name}","lastLogin":{last_login},"recentOrderCount":{orders}}}"#);
        if document == right {
            return Ok(());
        }
        // The same text may be escaped in two ways.
        let [found, expected] = [document, &right].map(serde_json::from_str::<Value>);
        ensure!(found? == expected?, "wrong answer: {document}; right is {right}");
        Ok(())
    }

    fn user(&self, number: usize) -> anyhow::Result<std::sync::MutexGuard<'_, User>> {
        let user = self.users.get(number).with_context(|| format!("there is no user {number}"))?;
        Ok(user.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) const TIMESTAMP: &str = r#""timestamp":"#;

fn timestamp(line: &str) -> anyhow::Result<u64> {
    let (_, rest) = line.split_once(TIMESTAMP).context("a line has a timestamp")?;
    Ok(rest.split(',').next().unwrap_or(rest).parse()?)
}

/// The rest of a JSON string behind `start`, which has no escapes.
fn part<'l>(line: &'l str, start: &str) -> anyhow::Result<&'l str> {
    let (_, rest) = line.split_once(start).with_context(|| format!("no {start} in {line}"))?;
    Ok(rest.split('"').next().unwrap_or(rest))
}

/// A user's name, which may hold escaped quotes; the email follows it.
fn name(line: &str) -> anyhow::Result<&str> {
    let (_, rest) = line.split_once(r#""name":""#).context("a user has a name")?;
    Ok(rest.split_once(r#"","email""#).context("an email follows a name")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Oracle;
    use crate::workload::Workload;

    #[test]
    fn the_ledger_and_the_oracle_agree() -> anyhow::Result<()> {
        let workload = Workload { events: 20_000, keys: 50, duplicate_share: 0.0, ..Workload::default() };
        let (ledger, mut oracle) = (Ledger::new(50), Oracle::new());
        for line in workload.lines() {
            ledger.take(&line)?;
            oracle.take(&line)?;
        }
        for (number, view) in oracle.views().enumerate() {
            ledger.check(number as u64, &view)?;
        }
        assert_eq!((ledger.distinct(), ledger.views()?), (20_000, 50));
        assert!(ledger.check(0, &oracle.views().nth(1).context("fifty views")?).is_err());
        Ok(())
    }
}
