//! The events, in the order in which they are delivered, and the views that they must make.

use std::fmt::Write;

use millpond_aws_testkit::world::T;

/// The definition that the events are joined by.
pub const DEFINITION: &str = include_str!("../../../examples/user-activity/join.toml");
/// Its `lateness`.
pub const LATENESS_MS: u64 = 7 * 24 * 3_600_000;
/// A key's event is renamed so seldom: one in so many is `user-created` again.
const RENAME_EVERY: u64 = 100;
/// Of so many other events...
const CYCLE: u64 = 5;
/// ... so many are logins; the others are orders.
const LOGINS: u64 = 3;
/// One event in so many is delivered behind younger ones of its key, if any is.
const DISPLACED_EVERY: u64 = 20;
/// How far behind its place at most, in events of its key.
const REACH_MAX: u64 = 10;

/// Events of some keys, as many of each: every key has one event in each step of time.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Keys.
    pub keys: u64,
    /// Events of each.
    pub events_a_key: u64,
    /// How far apart two events of a key are, in milliseconds.
    pub step_ms: u64,
    /// Whether some are delivered behind younger ones.
    pub disorder: bool,
}

impl Workload {
    /// All events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.keys * self.events_a_key
    }

    /// When the event of this number happens, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn at(&self, number: u64) -> u64 {
        T + number * self.step_ms
    }

    /// The numbers of a key's events, in the order in which they are delivered.
    #[must_use]
    pub fn delivery(&self, key: u64) -> Vec<u64> {
        let mut order: Vec<u64> = (0..self.events_a_key).collect();
        if self.disorder {
            let place = |number: &u64| match (key * 7 + number * 13).is_multiple_of(DISPLACED_EVERY) {
                true => (number + 1 + (key + number / DISPLACED_EVERY) % REACH_MAX, true),
                false => (*number, false),
            };
            order.sort_by_key(place);
        }
        order
    }

    /// An event.
    #[must_use]
    pub fn event(&self, key: u64, number: u64) -> String {
        let kind = Kind::of(key, number);
        let (name, source) = match kind {
            Kind::Created => ("user-created", "accounts"),
            Kind::LoggedIn => ("user-loggedIn", "sessions"),
            Kind::Ordered => ("order-submitted", "shop"),
        };
        let (id, at) = (mixed(key << 32 | number), self.at(number));
        let mut text = format!(
            r#"{{"id":"{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}","type":"{name}","timestamp":{at},"partitionKey":"user-{key:06}","tags":{{"region":"eu-central-1","source":"{source}"}},"#,
            id >> 32,
            (id >> 16) & 0xffff,
            id & 0xfff,
            key & 0xfff,
            number,
        );
        let written = match kind {
            Kind::Created => write!(
                text,
                r#""user":{{"id":"user-{key:06}","name":"{}","email":"user-{key:06}@example.com"}},"plan":"team"}}"#,
                full_name(key, number),
            ),
            Kind::LoggedIn => write!(
                text,
                r#""user":{{"id":"user-{key:06}"}},"device":"ThinkPad X1","ip":"10.0.{}.{}","session":"{:016x}"}}"#,
                key & 0xff,
                number & 0xff,
                mixed(id),
            ),
            Kind::Ordered => write!(
                text,
                r#""order":{{"id":"order-{number:010}","userId":"user-{key:06}","total":{}.95,"currency":"EUR","items":{}}}}}"#,
                1 + number % 500,
                1 + number % 9,
            ),
        };
        written.expect("a String takes every write");
        text
    }

    /// The document that a key's events make, folded without any code of Millpond's.
    #[must_use]
    pub fn document(&self, key: u64) -> String {
        let (mut name, mut last_login, mut orders) = ("**NOT SET**".to_owned(), 0, 0);
        for number in 0..self.events_a_key {
            match Kind::of(key, number) {
                Kind::Created => name = full_name(key, number),
                Kind::LoggedIn => last_login = self.at(number),
                Kind::Ordered => orders += 1,
            }
        }
        format!(r#"{{"id":"user-{key:06}","name":"{name}","lastLogin":{last_login},"recentOrderCount":{orders}}}"#)
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Created,
    LoggedIn,
    Ordered,
}

impl Kind {
    fn of(key: u64, number: u64) -> Self {
        if number.is_multiple_of(RENAME_EVERY) {
            Self::Created
        } else if (key + number) % CYCLE < LOGINS {
            Self::LoggedIn
        } else {
            Self::Ordered
        }
    }
}

fn full_name(key: u64, number: u64) -> String {
    format!("Fred User {key} the {}", number / RENAME_EVERY + 1)
}

/// Splitmix64's last step: digits without a pattern.
fn mixed(mut z: u64) -> u64 {
    z = z.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const WORKLOAD: Workload = Workload { keys: 7, events_a_key: 400, step_ms: 1_000, disorder: true };

    #[test]
    fn events_are_as_large_as_those_of_the_other_measurements_and_all_differ() {
        let texts: BTreeSet<String> = (0..7).flat_map(|key| (0..400).map(move |n| WORKLOAD.event(key, n))).collect();
        let bytes: usize = texts.iter().map(String::len).sum();
        assert_eq!(texts.len(), 2_800);
        assert!((260..285).contains(&(bytes / texts.len())), "{} bytes", bytes / texts.len());
    }

    #[test]
    fn one_event_in_twenty_is_delivered_behind_younger_ones() {
        let mut displaced = 0;
        for key in 0..7 {
            let order = WORKLOAD.delivery(key);
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 400);
            let behind = order.iter().scan(0, |highest: &mut u64, number| {
                *highest = (*highest).max(*number);
                Some(number < highest)
            });
            displaced += behind.filter(|behind| *behind).count();
        }
        assert!((133..=140).contains(&displaced), "{displaced} of 2,800");
    }
}
