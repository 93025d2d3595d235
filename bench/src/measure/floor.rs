//! The floor: the least that has to be done for the same answer and the same promise, in the plainest fast way. It can
//! answer nothing but the views, and has to read its whole log to start.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::child::tell;
use super::meter::Meter;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// A task of a child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Floor {
    pub(super) events: PathBuf,
    pub(super) expected: PathBuf,
    pub(super) log: PathBuf,
    pub(super) batch_events: usize,
}

/// What it took.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Floored {
    pub(super) cpu_s: f64,
}

/// The fields that the view needs, and no others.
#[derive(Deserialize)]
struct Event<'l> {
    id: &'l str,
    #[serde(rename = "type")]
    kind: &'l str,
    timestamp: u64,
    #[serde(borrow)]
    user: Option<User<'l>>,
    #[serde(borrow)]
    order: Option<Order<'l>>,
}

#[derive(Deserialize)]
struct User<'l> {
    id: &'l str,
    #[serde(borrow)]
    name: Option<Cow<'l, str>>,
}

#[derive(Deserialize)]
struct Order<'l> {
    #[serde(rename = "userId")]
    user_id: &'l str,
}

#[derive(Debug)]
struct Name {
    timestamp: u64,
    id: Box<str>,
    name: Box<str>,
}

#[derive(Debug, Default)]
struct View {
    name: Option<Name>,
    last_login: u64,
    order_count: u64,
}

#[derive(Debug, Default)]
struct Views {
    ids: HashSet<Box<str>>,
    by_key: HashMap<Box<str>, View>,
}

impl Floor {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let meter = Meter::start();
        let views = self.join()?;
        let spent = meter.stop();
        ensure!(
            views.text() == fs::read_to_string(&self.expected)?,
            "wrong answer: the floor's views are not the oracle's"
        );
        tell(&Floored { cpu_s: spent.cpu_s })
    }

    fn join(&self) -> anyhow::Result<Views> {
        let events = File::open(&self.events).with_context(|| format!("reading {}", self.events.display()))?;
        let mut events = BufReader::with_capacity(READ_BYTES, events);
        let mut log = File::create(&self.log)?;
        let (mut views, mut line, mut accepted) = (Views::default(), Vec::new(), Vec::new());
        let mut lines = 0;
        loop {
            line.clear();
            let ended = events.read_until(b'\n', &mut line)? == 0;
            if !ended {
                lines += 1;
                if views.take(&serde_json::from_slice(&line)?)? {
                    accepted.extend_from_slice(&line);
                }
            }
            if ended || lines == self.batch_events {
                log.write_all(&accepted)?;
                log.sync_data()?;
                accepted.clear();
                lines = 0;
            }
            if ended {
                return Ok(views);
            }
        }
    }
}

impl Views {
    /// Folds an event; false if it is known.
    fn take(&mut self, event: &Event<'_>) -> anyhow::Result<bool> {
        if self.ids.contains(event.id) {
            return Ok(false);
        }
        self.ids.insert(event.id.into());
        let user = || event.user.as_ref().context("an event without a user");
        match event.kind {
            "user-created" => {
                let user = user()?;
                let name = user.name.as_deref().context("a user without a name")?;
                let view = self.view(user.id);
                let newer = |old: &Name| (event.timestamp, event.id) > (old.timestamp, &old.id);
                if view.name.as_ref().is_none_or(newer) {
                    view.name = Some(Name { timestamp: event.timestamp, id: event.id.into(), name: name.into() });
                }
            }
            "user-loggedIn" => {
                let view = self.view(user()?.id);
                view.last_login = view.last_login.max(event.timestamp);
            }
            "order-submitted" => {
                let order = event.order.as_ref().context("an order without an order")?;
                self.view(order.user_id).order_count += 1;
            }
            other => bail!("unknown type {other}"),
        }
        Ok(true)
    }

    fn view(&mut self, key: &str) -> &mut View {
        // Looked up twice where it is new, which is rare; `entry` would need an owned key each time.
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.into(), View::default());
        }
        self.by_key.get_mut(key).expect("it was inserted just now")
    }

    /// As the oracle writes them.
    fn text(&self) -> String {
        let mut views: Vec<(&str, &View)> = self.by_key.iter().map(|(key, view)| (&**key, view)).collect();
        views.sort_by_key(|(key, _)| *key);
        let line = |(key, view): (&str, &View)| {
            let name = view.name.as_ref().map_or("**NOT SET**", |name| &name.name);
            let (key, name) = (Value::from(key), Value::from(name));
            let View { last_login, order_count, .. } = view;
            format!("{{\"id\":{key},\"name\":{name},\"lastLogin\":{last_login},\"recentOrderCount\":{order_count}}}\n")
        };
        views.into_iter().map(line).collect()
    }
}
