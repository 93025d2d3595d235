//! The memory store passes the examiners that every store and every home must pass.

use std::cell::RefCell;
use std::collections::BTreeMap;

use millpond_core::memory::MemoryStore;
use millpond_core::store::{Inserted, LateEvent, Quarantined, Row, Store};
use millpond_core::{Join, Position, Reason, Rejection};
use millpond_testkit::conformance::{Home, MemoryHome, home_conforms, run_scenario, scenario, store_contract};
use millpond_testkit::events::ALL_FOLDS;
use millpond_testkit::runner;
use pollster::block_on;

#[test]
fn the_memory_store_keeps_the_contract() {
    store_contract(MemoryStore::default);
}

/// Home and reference are the same here: what is examined is the drivers against the naive fold.
#[test]
fn the_drivers_over_memory_live_every_scenario_as_the_naive_fold_says() {
    home_conforms(200, MemoryHome::new);
}

/// A scenario that never reaches a case proves nothing about it.
#[test]
fn generated_scenarios_reach_what_they_are_for() {
    let join = Join::parse(ALL_FOLDS).unwrap();
    let seen = RefCell::new(BTreeMap::<String, u32>::new());
    let lived = runner(100).run(&scenario(), |scenario| {
        let mut home = MemoryHome::new(&join);
        run_scenario(&scenario, &join, &mut home, &mut MemoryHome::new(&join))?;
        let mut seen = seen.borrow_mut();
        let mut see = |what: &str| *seen.entry(what.into()).or_default() += 1;
        home.late().iter().for_each(|_| see("late"));
        home.store().quarantined().iter().for_each(|quarantined| see(quarantined.rejection.reason.code()));
        for key in home.keys() {
            see("key");
            match (home.snapshot_events(&key), home.tail(&key).len()) {
                (0, _) => see("tail only"),
                (_, 0) => see("snapshot only"),
                _ => see("snapshot and tail"),
            }
            let view = block_on(home.store().view(&key)).unwrap().unwrap();
            view.trimmed_to.iter().for_each(|_| see("trimmed"));
            if view.trimmed_to.is_some() && view.trimmed_to.as_ref() != view.through() {
                see("closed again after a trim");
            }
        }
        Ok(())
    });
    lived.unwrap();
    let seen = seen.into_inner();
    for what in [
        "late",
        "conflict",
        "future",
        "invalid-json",
        "invalid-key",
        "tail only",
        "snapshot only",
        "snapshot and tail",
        "trimmed",
        "closed again after a trim",
    ] {
        assert!(seen.get(what).is_some_and(|times| *times >= 5), "{what}: {seen:#?}");
    }
}

#[test]
fn late_events_and_quarantine_can_be_read_again() {
    let store = MemoryStore::default();
    let late = |key: &str| LateEvent {
        key: key.into(),
        row: Row { position: Position::new(1, "a"), put_at: 2, body: "{}".into() },
        closed: Position::new(3, ""),
    };
    for (key, is_new) in [("l", true), ("k", true), ("l", false)] {
        assert_eq!(
            block_on(store.keep_late(&late(key))),
            Ok(if is_new { Inserted::New } else { Inserted::Present(late(key).row) })
        );
    }
    assert_eq!(store.late(), [late("k"), late("l")]);
    let rejection = Rejection::new(Reason::InvalidUtf8, "byte 0");
    let quarantined = Quarantined { rejection, at: 9, bytes: vec![0xff] };
    block_on(store.keep_quarantined(&quarantined)).unwrap();
    assert_eq!(store.quarantined(), [quarantined]);
}
