//! The right answer, worked out in the plainest way: whole documents, standard maps, no state that is kept small.
//!
//! It knows the user-activity view only, and shares no code with the product. Memory: every id and every view.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, bail};
use serde_json::Value;

/// The user-activity view of every key among the lines it took.
#[derive(Debug, Default)]
pub struct Oracle {
    ids: HashSet<String>,
    users: BTreeMap<String, User>,
    duplicates: u64,
}

#[derive(Debug, Default)]
struct User {
    /// Of the `user-created` with the highest (timestamp, id).
    name: Option<((u64, String), String)>,
    last_login: u64,
    order_count: u64,
}

impl Oracle {
    /// An oracle that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one delivered line; an id that it took before counts as a duplicate and changes nothing.
    ///
    /// # Errors
    /// The line is no JSON, has another type than the view's three, or lacks a field that the view needs.
    pub fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let event: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        self.take_event(&event).with_context(|| format!("not an event of the workload: {line}"))
    }

    fn take_event(&mut self, event: &Value) -> anyhow::Result<()> {
        let id = text(event, "/id")?;
        let timestamp = event["timestamp"].as_u64().context("no timestamp")?;
        if self.ids.contains(id) {
            self.duplicates += 1;
            return Ok(());
        }
        match text(event, "/type")? {
            "user-created" => {
                let named = Some(((timestamp, id.to_owned()), text(event, "/user/name")?.to_owned()));
                let user = self.user(text(event, "/user/id")?);
                user.name = named.max(user.name.take());
            }
            "user-loggedIn" => {
                let user = self.user(text(event, "/user/id")?);
                user.last_login = user.last_login.max(timestamp);
            }
            "order-submitted" => self.user(text(event, "/order/userId")?).order_count += 1,
            other => bail!("unknown type {other}"),
        }
        self.ids.insert(id.to_owned());
        Ok(())
    }

    fn user(&mut self, key: &str) -> &mut User {
        self.users.entry(key.to_owned()).or_default()
    }

    /// The views, one compact JSON object a key, without line ends, in the order of the keys' bytes.
    pub fn views(&self) -> impl Iterator<Item = String> {
        self.users.iter().map(|(key, user)| {
            let name = user.name.as_ref().map_or("**NOT SET**", |(_, name)| name);
            format!(
                r#"{{"id":{},"name":{},"lastLogin":{},"recentOrderCount":{}}}"#,
                Value::from(key.as_str()),
                Value::from(name),
                user.last_login,
                user.order_count
            )
        })
    }

    /// Distinct events taken.
    pub fn distinct(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Lines taken whose id was there already.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

fn text<'a>(event: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    event.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no text at {pointer}"))
}
