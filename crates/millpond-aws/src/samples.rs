//! The sample events of the pattern, for the example's definition.

use serde::{Deserialize, Serialize};
use serde_json::json;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sample {
    /// A user who is created, logs in and orders, and another who only logs in.
    Seed,
    /// The first user logs in once more.
    Login,
    /// The first user orders once more.
    Order,
}

/// The first user.
pub const FIRST: &str = "user-1";
/// The second user, of whom nobody knows the name.
pub const SECOND: &str = "user-2";

/// The events, as of now: another time gives other events.
#[must_use]
pub fn samples(sample: Sample, now: u64) -> Vec<String> {
    let created = |at: u64| {
        let user = json!({"id": FIRST, "name": "Fred User"});
        json!({"id": format!("created-{at}"), "type": "user-created", "timestamp": at, "user": user})
    };
    let login = |user: &str, at: u64| json!({"id": format!("login-{user}-{at}"), "type": "user-loggedIn", "timestamp": at, "user": {"id": user}});
    let order = |at: u64| {
        let order = json!({"userId": FIRST});
        json!({"id": format!("order-{at}"), "type": "order-submitted", "timestamp": at, "order": order})
    };
    let events = match sample {
        Sample::Seed => vec![created(now), login(FIRST, now), order(now), login(SECOND, now)],
        Sample::Login => vec![login(FIRST, now)],
        Sample::Order => vec![order(now)],
    };
    events.iter().map(ToString::to_string).collect()
}
