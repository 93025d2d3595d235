//! Made-up events of the user-activity example. The same seed makes the same ones, but for the time.

use std::collections::VecDeque;

use fastrand::Rng;
use serde_json::json;

const USERS_MAX: usize = 50;
/// Events that may come again.
const REMEMBERED: usize = 20;
const NAMES: [&str; 8] = ["Ann", "Bob", "Cleo", "Dora", "Emil", "Fred", "Grete", "Hugo"];
/// Of a thousand events.
const REPEATED: u32 = 30;
const BROKEN: u32 = 10;
const LATE: u32 = 10;
const DISORDERED: u32 = 100;
const CREATED: u32 = 60;
/// Older than the demo's lateness.
const LATE_MS: u64 = 600_000;
/// Within it.
const DISORDER_MS: u64 = 10_000;

pub(super) struct Events {
    rng: Rng,
    /// Tells the events of this demo from those of an earlier one in the same folder.
    started_ms: u64,
    number: u64,
    users: usize,
    recent: VecDeque<String>,
}

impl Events {
    pub(super) fn new(seed: u64, started_ms: u64) -> Self {
        Self { rng: Rng::with_seed(seed), started_ms, number: 0, users: 0, recent: VecDeque::new() }
    }

    /// The next event's text.
    pub(super) fn next(&mut self, now_ms: u64) -> String {
        if self.one_of(REPEATED)
            && let Some(again) = self.rng.choice(&self.recent)
        {
            return again.clone();
        }
        self.number += 1;
        if self.users > 0 && self.one_of(BROKEN) {
            let id = self.id();
            return json!({"id": id, "type": "order-submitted", "timestamp": now_ms, "order": {"userId": 17}})
                .to_string();
        }
        let event = self.sound(now_ms);
        self.recent.push_back(event.clone());
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        event
    }

    fn sound(&mut self, now_ms: u64) -> String {
        let (id, timestamp) = (self.id(), self.timestamp(now_ms));
        let new = self.users < 3 || (self.users < USERS_MAX && self.one_of(CREATED));
        if new {
            self.users += 1;
            let user = json!({"id": format!("user-{}", self.users), "name": NAMES[self.rng.usize(..NAMES.len())]});
            return json!({"id": id, "type": "user-created", "timestamp": timestamp, "user": user}).to_string();
        }
        let user = format!("user-{}", self.rng.usize(1..=self.users));
        let event = match self.rng.bool() {
            true => json!({"id": id, "type": "user-loggedIn", "timestamp": timestamp, "user": {"id": user}}),
            false => {
                let order = json!({"id": format!("order-{}", self.number), "userId": user});
                json!({"id": id, "type": "order-submitted", "timestamp": timestamp, "order": order})
            }
        };
        event.to_string()
    }

    fn timestamp(&mut self, now_ms: u64) -> u64 {
        let behind = match () {
            () if self.one_of(LATE) => LATE_MS,
            () if self.one_of(DISORDERED) => self.rng.u64(..DISORDER_MS),
            () => 0,
        };
        now_ms.saturating_sub(behind)
    }

    fn id(&self) -> String {
        format!("demo-{}-{}", self.started_ms, self.number)
    }

    fn one_of(&mut self, of_a_thousand: u32) -> bool {
        self.rng.u32(..1000) < of_a_thousand
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn made(seed: u64) -> Vec<String> {
        let mut events = Events::new(seed, 1_760_000_000_000);
        (0..2_000).map(|number| events.next(1_760_000_000_000 + number * 200)).collect()
    }

    #[test]
    fn a_seed_makes_the_same_events_again_and_some_are_odd() {
        let events = made(1);
        assert_eq!(events, made(1));
        assert_ne!(events, made(2));
        let distinct: BTreeSet<&String> = events.iter().collect();
        assert!((20..200).contains(&(events.len() - distinct.len())), "{} repeats", events.len() - distinct.len());
        let broken = events.iter().filter(|event| event.contains("\"userId\":17")).count();
        assert!((5..60).contains(&broken), "{broken} broken ones");
        let users: BTreeSet<&String> = events.iter().filter(|event| event.contains("user-created")).collect();
        assert_eq!(users.len(), USERS_MAX);
    }
}
