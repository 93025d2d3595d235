//! The protocol, searched: no schedule breaks it, and each rule that it rests on is needed.

use std::collections::HashSet;

use millpond_testkit::protocol::{Protocol, World};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

const SMALL: &str = "111,1,1,1";
/// Where the definition changes, and the key is erased: of one event, since there is more that may happen.
const CHANGING: &str = "100,1,1,0,1,1";

/// Steps that a search may have: memory is not endless.
const STEPS_MAX: usize = 800_000_000;

fn scope(text: &str) -> Protocol {
    text.parse().unwrap_or_else(|fault| panic!("{fault}"))
}

/// Those given, or, by hand and for hours, that of `MILLPOND_SCOPE`.
fn scopes(small: &[&str]) -> Vec<Protocol> {
    match std::env::var("MILLPOND_SCOPE") {
        Ok(text) => vec![scope(&text)],
        Err(_) => small.iter().map(|text| scope(text)).collect(),
    }
}

#[test]
fn no_schedule_breaks_the_protocol() {
    for scope in scopes(&[SMALL, CHANGING]) {
        let checker = scope.checker().threads(2).target_state_count(STEPS_MAX).spawn_bfs().join();
        println!("{scope:?}: {} steps, {} states", checker.state_count(), checker.unique_state_count());
        assert!(checker.state_count() < STEPS_MAX, "the search was broken off: its scope is too large");
        checker.assert_properties();
    }
}

/// Of those that changes and erasures need, more than one event is there to find them: the proof looks at that.
#[test]
fn without_any_one_of_its_rules_it_breaks() {
    for scope in scopes(&[SMALL]) {
        for rule in scope.rules() {
            let checker = scope
                .without(rule)
                .checker()
                .threads(2)
                .target_state_count(STEPS_MAX)
                .finish_when(HasDiscoveries::AnyFailures)
                .spawn_bfs()
                .join();
            let found: Vec<&str> =
                checker.discoveries().into_keys().filter(|name| !name.starts_with("all is")).collect();
            println!("{rule:?}: {} states: {found:?}", checker.unique_state_count());
            assert!(!found.is_empty(), "nothing notices that {rule:?} is not kept");
        }
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

/// The properties that some world of these shows: what must never be is broken, what must be is there.
fn shown(protocol: Protocol, worlds: &HashSet<World>) -> Vec<&'static str> {
    let mut properties = protocol.properties();
    properties.retain(|property| {
        let holds = |world: &World| (property.condition)(&protocol, world);
        match property.expectation {
            Expectation::Sometimes => worlds.iter().any(holds),
            _ => !worlds.iter().all(holds),
        }
    });
    properties.into_iter().map(|property| property.name).collect()
}

/// Both searches of a protocol: what stands for all worlds of one, the canonical ones, and what both show.
fn compared(protocol: Protocol) -> (HashSet<World>, HashSet<World>, Vec<&'static str>) {
    let (all, canonical) = (reached(protocol, World::clone), reached(protocol, World::canonical));
    println!("{protocol:?}: {} worlds, {} canonical", all.len(), canonical.len());
    assert!(canonical.len() < all.len() / 2);
    let found = shown(protocol, &all);
    assert_eq!(shown(protocol, &canonical), found, "{protocol:?}");
    (all.iter().map(World::canonical).collect(), canonical, found)
}

/// A search through few of many worlds that are alike misses none of them.
#[test]
fn canonical_worlds_stand_for_all_that_are_reached() {
    for protocol in ["100,2,2,0", "110,1,1,1", "200,2,1,1", CHANGING].map(scope) {
        let (all, canonical, shown) = compared(protocol);
        assert!(canonical == all, "{protocol:?}");
        assert!(shown.iter().all(|property| property.starts_with("all is")), "{shown:?}");
    }
}

/// Nor does it miss what is wrong where a rule is not kept.
#[test]
fn canonical_worlds_show_what_is_wrong() {
    let mut wrong = 0;
    for protocol in ["110,1,1,0", "100,1,1,0,1,0", "100,1,1,0,0,1"].map(scope) {
        let broken = protocol.rules().into_iter().map(|rule| protocol.without(rule)).filter(Protocol::has_canonical);
        let is_wrong = |protocol: &Protocol| compared(*protocol).2.iter().any(|found| !found.starts_with("all is"));
        wrong += broken.filter(is_wrong).count();
    }
    assert!(wrong > 10, "in {wrong} broken protocols only was there something to find");
}
