//! The protocol, searched: no schedule breaks it, and each rule that it rests on is needed.

use millpond_testkit::protocol::{Protocol, Rule};
use stateright::{Checker, HasDiscoveries, Model};

const SMALL: Protocol = Protocol { deliveries: [1, 1, 1], triggers: 1, snapshotters: 1, losses: 1, without: None };

/// Steps that a search may have: memory is not endless.
const STEPS_MAX: usize = 800_000_000;

/// The scope: small, or, by hand and for hours, that of `MILLPOND_SCOPE`.
fn scope() -> Protocol {
    let Ok(text) = std::env::var("MILLPOND_SCOPE") else { return SMALL };
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let [a, b, c, triggers, snapshotters, losses] = digits[..] else {
        panic!("MILLPOND_SCOPE is such as 112,2,1,1: deliveries of each event, triggers, snapshotters, lost answers")
    };
    let (triggers, snapshotters) = (triggers.into(), snapshotters.into());
    Protocol { deliveries: [a, b, c], triggers, snapshotters, losses, without: None }
}

#[test]
fn no_schedule_breaks_the_protocol() {
    let checker = scope().checker().threads(2).target_state_count(STEPS_MAX).spawn_bfs().join();
    println!("{:?}: {} steps, {} states", scope(), checker.state_count(), checker.unique_state_count());
    assert!(checker.state_count() < STEPS_MAX, "the search was broken off: its scope is too large");
    checker.assert_properties();
}

#[test]
fn without_any_one_of_its_rules_it_breaks() {
    for rule in Rule::ALL {
        let protocol = Protocol { without: Some(rule), ..scope() };
        let checker = protocol
            .checker()
            .threads(2)
            .target_state_count(STEPS_MAX)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found: Vec<&str> = checker.discoveries().into_keys().filter(|name| !name.starts_with("all is")).collect();
        println!("{rule:?}: {} states: {found:?}", checker.unique_state_count());
        assert!(!found.is_empty(), "nothing notices that {rule:?} is not kept");
    }
}
