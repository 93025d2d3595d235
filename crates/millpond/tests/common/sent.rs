//! Events that tests send, and the views that follow from them, folded in the plainest way.

use std::collections::BTreeMap;

/// Keys that [`Sent::draw`] spreads events over.
pub(crate) const KEYS: u64 = 40;

/// Knuth's MMIX generator: any stream will do, as long as a seed names it.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// An event, and what it gives.
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) timestamp: u64,
    pub(crate) id: String,
    pub(crate) gives: Gives,
}

pub(crate) enum Gives {
    Name(String),
    Login,
    Order,
}

impl Sent {
    /// An event of one of the keys.
    pub(crate) fn draw(number: usize, timestamp: u64, chance: &mut Chance) -> Self {
        let gives = match chance.below(10) {
            0 => Gives::Name(format!("Name {}", chance.below(1000))),
            1..5 => Gives::Login,
            _ => Gives::Order,
        };
        Self { key: format!("user-{}", chance.below(KEYS)), timestamp, id: format!("e-{number}"), gives }
    }

    pub(crate) fn line(&self) -> String {
        let Self { key, timestamp, id, gives } = self;
        let (kind, body) = match gives {
            Gives::Name(name) => ("user-created", format!(r#""user":{{"id":"{key}","name":"{name}"}}"#)),
            Gives::Login => ("user-loggedIn", format!(r#""user":{{"id":"{key}"}}"#)),
            Gives::Order => ("order-submitted", format!(r#""order":{{"id":"o-{id}","userId":"{key}"}}"#)),
        };
        format!(r#"{{"id":"{id}","type":"{kind}","timestamp":{timestamp},{body}}}"#)
    }

    pub(crate) fn position(&self) -> String {
        format!("{}/{}", self.timestamp, self.id)
    }
}

#[derive(Default)]
struct User<'s> {
    name: Option<(u64, &'s str, &'s str)>,
    last_login: u64,
    orders: u64,
}

/// The right views, by folding what was sent in the plainest way.
pub(crate) fn oracle<'s>(events: impl Iterator<Item = &'s Sent>) -> String {
    let mut users: BTreeMap<&str, User<'_>> = BTreeMap::new();
    for Sent { key, timestamp, id, gives } in events {
        let user = users.entry(key).or_default();
        match gives {
            Gives::Name(name) => user.name = user.name.max(Some((*timestamp, id, name))),
            Gives::Login => user.last_login = user.last_login.max(*timestamp),
            Gives::Order => user.orders += 1,
        }
    }
    let view = |(key, user): (&&str, &User<'_>)| {
        let (name, last_login, orders) =
            (user.name.map_or("**NOT SET**", |(_, _, name)| name), user.last_login, user.orders);
        format!(r#"{{"id":"{key}","name":"{name}","lastLogin":{last_login},"recentOrderCount":{orders}}}"#) + "\n"
    };
    users.iter().map(view).collect()
}

pub(crate) fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}
