//! The protocol, searched: no schedule breaks it, and each rule that it rests on is needed.

use std::collections::HashSet;

use millpond_testkit::protocol::{Protocol, Rule, World};
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

/// All worlds that a protocol comes to, each as what `stands` for it.
fn reached(protocol: Protocol, stands: fn(&World) -> World) -> HashSet<World> {
    let mut open: Vec<World> = protocol.init_states().iter().map(stands).collect();
    let mut seen: HashSet<World> = open.iter().copied().collect();
    while let Some(world) = open.pop() {
        let mut steps = Vec::new();
        protocol.actions(&world, &mut steps);
        let next = steps.into_iter().filter_map(|step| protocol.next_state(&world, step));
        open.extend(next.map(|next| stands(&next)).filter(|next| seen.insert(*next)));
    }
    seen
}

/// A search through few of many worlds that are alike misses none of them.
#[test]
fn canonical_worlds_stand_for_all_that_are_reached() {
    for (deliveries, triggers, snapshotters) in [([1, 0, 0], 2, 2), ([1, 1, 0], 1, 1), ([2, 0, 0], 2, 1)] {
        let protocol = Protocol { deliveries, triggers, snapshotters, losses: 1, without: None };
        let all = reached(protocol, World::clone);
        let canonical: HashSet<World> = all.iter().map(World::canonical).collect();
        println!("{deliveries:?}: {} worlds, {} canonical", all.len(), canonical.len());
        assert!(canonical.len() < all.len() / 2);
        assert!(canonical == reached(protocol, World::canonical), "{deliveries:?}");
    }
}
