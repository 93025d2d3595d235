//! The events in the order in which they happened: sign-ups, renames, logins and orders of numbered users.

use std::fmt::Write;

use super::{EVENT_STREAM, Workload};
use crate::rng::Rng;

/// The first event's time: 9 October 2025, so that no run is ever ahead of the clock.
const START_MS: u64 = 1_760_000_000_000;
/// The time to the next event is 0, 1 or 2 ms: 1 ms on average, and a third of the events share the one before's.
const GAP_MS_END: u64 = 3;

/// One key in so many is never created: its view keeps the default name.
const NEVER_CREATED_EVERY: u64 = 20;
/// Any other key is created by its first event with this probability; if another came first, by the next one, and so on.
const CREATION_SHARE: f64 = 0.95;
/// Later events of a created key that are `user-created` again, mostly with another name.
const RENAME_SHARE: f64 = 0.01;
/// Renames that a second one follows in the same millisecond, so that only the id decides which name stays.
const TWIN_SHARE: f64 = 0.125;
/// Of the events that create nobody; the others are orders.
const LOGIN_SHARE: f64 = 0.6;

/// Keys are visited in steps of a prime larger than any number of keys, which reaches each exactly once.
const VISIT_STEP: u128 = 11_400_714_785_074_694_791;

// As they stand between JSON's quotes. Two are not ASCII and one is escaped, as names in the world are.
const FIRST_NAMES: [&str; 8] = ["Fred", "Ada", "Grace", "Zoë", "Łukasz", "Mei", r#"Ann \"Nan\""#, "Olumide"];
const REGIONS: [&str; 4] = ["eu-central-1", "eu-west-1", "us-east-1", "ap-southeast-2"];
const PLANS: [&str; 3] = ["free", "team", "business"];
const DEVICES: [&str; 4] = ["iPhone 15", "Pixel 9", "ThinkPad X1", "iPad Air"];
const CURRENCIES: [&str; 3] = ["EUR", "USD", "GBP"];

/// Draws the distinct events one by one.
#[derive(Debug)]
pub(super) struct Events {
    rng: Rng,
    total: u64,
    drawn: u64,
    keys: u64,
    /// A visit is due every so many events; 0 if there are fewer events than keys, and then nobody is visited.
    visit_every: u64,
    visits: u64,
    created: Vec<bool>,
    now_ms: u64,
    /// The key whose rename gets a second one in the same millisecond.
    twin: Option<u64>,
}

#[derive(Clone, Copy)]
enum Kind {
    UserCreated,
    UserLoggedIn,
    OrderSubmitted,
}

impl Events {
    pub(super) fn new(workload: &Workload) -> Self {
        Self {
            rng: Rng::new(workload.seed, EVENT_STREAM),
            total: workload.events,
            drawn: 0,
            keys: workload.keys,
            visit_every: workload.events / workload.keys,
            visits: 0,
            created: vec![false; workload.keys as usize],
            now_ms: START_MS,
            twin: None,
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.drawn == self.total
    }

    /// Writes the next event over `line`; false, and `line` as it was, at the end.
    pub(super) fn next_into(&mut self, line: &mut String) -> bool {
        if self.ended() {
            return false;
        }
        let (key, kind) = match self.twin.take() {
            Some(key) => (key, Kind::UserCreated),
            None => self.draw(),
        };
        line.clear();
        self.write(line, key, kind).expect("a String takes every write");
        self.drawn += 1;
        if self.twin.is_none() {
            self.now_ms += self.rng.below(GAP_MS_END);
        }
        true
    }

    fn draw(&mut self) -> (u64, Kind) {
        let key = self.draw_key();
        let created = &mut self.created[key as usize];
        let creatable = key % NEVER_CREATED_EVERY != NEVER_CREATED_EVERY - 1;
        if creatable && self.rng.chance(if *created { RENAME_SHARE } else { CREATION_SHARE }) {
            let rename = std::mem::replace(created, true);
            self.twin = (rename && self.rng.chance(TWIN_SHARE)).then_some(key);
            (key, Kind::UserCreated)
        } else if self.rng.chance(LOGIN_SHARE) {
            (key, Kind::UserLoggedIn)
        } else {
            (key, Kind::OrderSubmitted)
        }
    }

    /// Mildly skewed: half of the keys are drawn evenly, half are the smaller of two, so the first keys get three times
    /// as many events as the last. Visits, one a key, see to it that none is left out.
    fn draw_key(&mut self) -> u64 {
        let visit_due = self.visit_every > 0 && self.visits * self.visit_every <= self.drawn;
        if visit_due && self.visits < self.keys {
            self.visits += 1;
            return (u128::from(self.visits) * VISIT_STEP % u128::from(self.keys)) as u64;
        }
        let key = self.rng.below(self.keys);
        if self.rng.chance(0.5) { key } else { key.min(self.rng.below(self.keys)) }
    }

    fn write(&mut self, line: &mut String, key: u64, kind: Kind) -> std::fmt::Result {
        let (type_name, source) = match kind {
            Kind::UserCreated => ("user-created", "accounts"),
            Kind::UserLoggedIn => ("user-loggedIn", "sessions"),
            Kind::OrderSubmitted => ("order-submitted", "shop"),
        };
        write!(line, r#"{{"id":""#)?;
        self.write_uuid(line)?;
        write!(
            line,
            r#"","type":"{type_name}","timestamp":{},"partitionKey":"user-{key:06}","tags":{{"region":"{}","source":"{source}"}},"#,
            self.now_ms,
            self.rng.pick(&REGIONS),
        )?;
        match kind {
            Kind::UserCreated => self.write_user(line, key),
            Kind::UserLoggedIn => self.write_login(line, key),
            Kind::OrderSubmitted => self.write_order(line, key),
        }
    }

    /// A version 4 UUID. Two alike are as good as impossible, and the totals of `generate` would show them.
    fn write_uuid(&mut self, line: &mut String) -> std::fmt::Result {
        let (high, low) = (self.rng.next(), self.rng.next());
        write!(
            line,
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff,
        )
    }

    fn write_user(&mut self, line: &mut String, key: u64) -> std::fmt::Result {
        let first_name = self.rng.pick(&FIRST_NAMES);
        let plan = self.rng.pick(&PLANS);
        write!(
            line,
            r#""user":{{"id":"user-{key:06}","name":"{first_name} User {key}","email":"user-{key:06}@example.com"}},"plan":"{plan}"}}"#,
        )
    }

    fn write_login(&mut self, line: &mut String, key: u64) -> std::fmt::Result {
        let device = self.rng.pick(&DEVICES);
        let (subnet, host) = (self.rng.below(256), self.rng.below(256));
        let session = self.rng.next();
        write!(
            line,
            r#""user":{{"id":"user-{key:06}"}},"device":"{device}","ip":"10.0.{subnet}.{host}","session":"{session:016x}"}}"#,
        )
    }

    fn write_order(&mut self, line: &mut String, key: u64) -> std::fmt::Result {
        let order = self.drawn;
        let (whole, cents) = (1 + self.rng.below(500), self.rng.below(100));
        let currency = self.rng.pick(&CURRENCIES);
        let items = 1 + self.rng.below(9);
        write!(
            line,
            r#""order":{{"id":"order-{order:010}","userId":"user-{key:06}","total":{whole}.{cents:02},"currency":"{currency}","items":{items}}}}}"#,
        )
    }
}
