//! A workload: the events of a seed, in the order in which an at-least-once, unordered stream delivers them.
//!
//! [`Workload::lines`] holds only the lines that are under way (some hundred), so tens of millions of events need a
//! few megabytes. The events themselves are told in `workload/events.rs`.

mod events;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use self::events::Events;
use crate::rng::Rng;

/// How far, at most, a displaced event or a second copy is delivered behind its place, in events of the stream.
pub const REACH_EVENTS_MAX: u64 = 4_000;

/// What makes a stream of events: the same values give the same bytes, on any machine, for ever.
///
/// The shares change only the delivery: the distinct events, and so the views, depend on `seed`, `events` and `keys`.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Chooses everything that is random.
    pub seed: u64,
    /// Distinct events.
    pub events: u64,
    /// Keys that they are spread over, at least 1. With no more keys than events, each key has an event.
    pub keys: u64,
    /// The share of events that are delivered twice, 0.0 to 1.0.
    pub duplicate_share: f64,
    /// The share of events that are delivered behind younger ones, 0.0 to 1.0.
    pub disorder_share: f64,
}

/// The workload of the published figures: a million events of 100,000 keys.
impl Default for Workload {
    fn default() -> Self {
        Self { seed: 1, events: 1_000_000, keys: 100_000, duplicate_share: 0.02, disorder_share: 0.05 }
    }
}

impl Workload {
    /// The published workload's shares with `events` events, all of one key: how cost grows with a history.
    pub fn one_key(events: u64) -> Self {
        Self { events, keys: 1, ..Self::default() }
    }

    /// The same number of events over as many keys as give each `events_per_key` (at least 1) on average.
    #[must_use]
    pub fn with_events_per_key(self, events_per_key: u64) -> Self {
        Self { keys: (self.events / events_per_key).max(1), ..self }
    }

    /// The delivered lines in order, without line ends.
    pub fn lines(&self) -> Lines {
        Lines {
            events: Events::new(self),
            delivery: Rng::new(self.seed, DELIVERY_STREAM),
            duplicate_share: self.duplicate_share,
            disorder_share: self.disorder_share,
            drawn: 0,
            held_ever: 0,
            held: BinaryHeap::new(),
            line: String::new(),
        }
    }

    /// Every delivered line twice, and all of them in random order: the hardest delivery of the same events.
    ///
    /// Held in memory: about 300 bytes a delivered line.
    pub fn shuffled_doubled(&self) -> ShuffledDoubled {
        ShuffledDoubled::new(self)
    }
}

const EVENT_STREAM: u64 = 0;
const DELIVERY_STREAM: u64 = 1;
const SHUFFLE_STREAM: u64 = 2;

/// The delivered lines of a workload. Loop over [`Lines::next_line`], or iterate to own each line.
#[derive(Debug)]
pub struct Lines {
    events: Events,
    delivery: Rng,
    duplicate_share: f64,
    disorder_share: f64,
    drawn: u64,
    held_ever: u64,
    held: BinaryHeap<Reverse<Held>>,
    line: String,
}

/// A line that waits until `due` events are drawn; ordered by the fields as they stand.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: u64,
    number: u64,
    line: String,
}

impl Lines {
    /// The next line, in a buffer that the next call uses again.
    pub fn next_line(&mut self) -> Option<&str> {
        loop {
            if let Some(line) = self.pop_due() {
                self.line = line;
                return Some(&self.line);
            }
            if !self.events.next_into(&mut self.line) {
                return None;
            }
            self.drawn += 1;
            if self.send() {
                return Some(&self.line);
            }
        }
    }

    /// A held line whose time has come; at the end of the events, any.
    fn pop_due(&mut self) -> Option<String> {
        let Reverse(first) = self.held.peek()?;
        if first.due > self.drawn && !self.events.ended() {
            return None;
        }
        self.held.pop().map(|Reverse(held)| held.line)
    }

    /// Decides the delivery of the event just drawn; true if it goes out at once. A copy always comes after its first.
    fn send(&mut self) -> bool {
        let displaced = self.delivery.chance(self.disorder_share);
        let doubled = self.delivery.chance(self.duplicate_share);
        let mut due = self.drawn;
        if displaced {
            due += self.distance();
            self.hold(due);
        }
        if doubled {
            due += self.distance();
            self.hold(due);
        }
        !displaced
    }

    fn distance(&mut self) -> u64 {
        1 + self.delivery.below(REACH_EVENTS_MAX)
    }

    fn hold(&mut self, due: u64) {
        self.held_ever += 1;
        self.held.push(Reverse(Held { due, number: self.held_ever, line: self.line.clone() }));
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.next_line().map(str::to_owned)
    }
}

/// The lines of [`Workload::shuffled_doubled`].
#[derive(Debug)]
pub struct ShuffledDoubled {
    text: String,
    ends: Vec<usize>,
    order: Vec<usize>,
}

impl ShuffledDoubled {
    fn new(workload: &Workload) -> Self {
        let mut text = String::new();
        let mut ends = Vec::new();
        let mut lines = workload.lines();
        while let Some(line) = lines.next_line() {
            text.push_str(line);
            ends.push(text.len());
        }
        let mut order: Vec<usize> = (0..ends.len()).chain(0..ends.len()).collect();
        let mut chance = Rng::new(workload.seed, SHUFFLE_STREAM);
        for last in (1..order.len()).rev() {
            order.swap(last, chance.below(last as u64 + 1) as usize);
        }
        Self { text, ends, order }
    }

    /// The lines in their random order, without line ends.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(|&line| {
            let start = line.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.text[start..self.ends[line]]
        })
    }
}
