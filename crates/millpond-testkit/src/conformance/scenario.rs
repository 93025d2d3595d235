//! Scenarios: generated lives of a home, with duplicates, disorder, late events, poison,
//! snapshots and trims; two homes must live them alike, and as the naive fold says.

use std::collections::{BTreeMap, BTreeSet};

use millpond_core::Join;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::home::{Home, MemoryHome, OutcomeKind};
use crate::events::{ALL_FOLDS, KEYS, START, Sample, history};
use crate::{naive, runner};

const MINUTE_MS: u64 = 60_000;
/// Timestamps of a scenario span this much: several times the definition's lateness of one hour.
const SPAN_MINUTES: u64 = 300;
const EVENTS_MAX: usize = 40;
const STEPS_MAX: usize = 40;

const POISON: [&[u8]; 12] = [
    b"null",
    b"{",
    b"[1]",
    b"",
    b"\xff\xfe",
    br#"{"id":"p","id":"p","type":"a","timestamp":1,"k":"u1"}"#,
    br#"{"id":"","type":"a","timestamp":1760000000000,"k":"u1"}"#,
    br#"{"id":7,"type":"a","timestamp":1760000000000,"k":"u1"}"#,
    br#"{"id":"p1","type":"a","timestamp":"1","k":"u1"}"#,
    br#"{"id":"p2","type":"a","timestamp":1760000000000,"k":""}"#,
    br#"{"id":"p3","type":"c","timestamp":1760000000000,"k":"u1"}"#,
    br#"{"id":"p4","type":"a","timestamp":99999999999999,"k":"u1"}"#,
];

/// Something that is delivered.
#[derive(Clone, Debug)]
pub enum Item {
    /// An event of the history, by index: again and again, perhaps.
    Event(usize),
    /// The same event in other bytes.
    Respaced(usize),
    /// Another event at the same place.
    Conflicting(usize),
    /// An event of a type that the definition does not know.
    Foreign(usize),
    /// What is no event at all.
    Poison(usize),
}

/// One step of a scenario.
#[derive(Clone, Debug)]
pub enum Step {
    /// A batch arrives.
    Ingest(Vec<Item>),
    /// A snapshot of a key, by index into [`KEYS`].
    Snapshot(usize),
    /// A trim of a key.
    Trim(usize),
    /// Minutes go by.
    Wait(u64),
}

/// A life: a history, and what happens to it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The distinct events.
    pub history: Vec<Sample>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// Scenarios of [`ALL_FOLDS`].
pub fn scenario() -> impl Strategy<Value = Scenario> {
    history(1..=EVENTS_MAX, SPAN_MINUTES).prop_flat_map(|history| {
        let steps = vec(step(history.len()), STEPS_MAX / 4..=STEPS_MAX);
        (Just(history), steps).prop_map(|(history, steps)| Scenario { history, steps })
    })
}

fn step(events: usize) -> impl Strategy<Value = Step> {
    let item = prop_oneof![
        12 => (0..events).prop_map(Item::Event),
        1 => (0..events).prop_map(Item::Respaced),
        1 => (0..events).prop_map(Item::Conflicting),
        1 => (0..events).prop_map(Item::Foreign),
        1 => (0..POISON.len()).prop_map(Item::Poison),
    ];
    prop_oneof![
        4 => vec(item, 0..12).prop_map(Step::Ingest),
        3 => (0..KEYS.len()).prop_map(Step::Snapshot),
        2 => (0..KEYS.len()).prop_map(Step::Trim),
        2 => (1u64..150).prop_map(Step::Wait),
    ]
}

impl Scenario {
    fn bytes(&self, item: &Item) -> Vec<u8> {
        let text = |index: &usize| self.history[*index].text.as_str();
        match item {
            Item::Event(index) => text(index).into(),
            Item::Respaced(index) => format!(" {} ", text(index).replacen('{', "{ ", 1)).into_bytes(),
            Item::Conflicting(index) => text(index).replacen('{', "{\"conflicting\":true,", 1).into_bytes(),
            Item::Foreign(index) => {
                format!("{{\"id\":\"foreign{index}\",\"type\":\"unheard-of\",\"timestamp\":{START},\"k\":\"u1\"}}")
                    .into_bytes()
            }
            Item::Poison(index) => POISON[*index].into(),
        }
    }

    /// The keys of an item that could be accepted.
    fn keys(&self, item: &Item) -> &[&'static str] {
        match item {
            Item::Event(index) | Item::Respaced(index) | Item::Conflicting(index) => &self.history[*index].keys,
            _ => &[],
        }
    }
}

/// Lives `cases` generated scenarios in the homes that `make` makes, and beside each in a
/// [`MemoryHome`]; both must answer the same at every step, and as the naive fold says. The
/// scenarios are the same at every run.
///
/// # Panics
/// At the first difference, with the smallest scenario found that shows it.
pub fn home_conforms<H: Home>(cases: u32, make: impl Fn(&Join) -> H) {
    let join = Join::parse(ALL_FOLDS).expect("the definition is right");
    let lived = runner(cases)
        .run(&scenario(), |scenario| run_scenario(&scenario, &join, &mut make(&join), &mut MemoryHome::new(&join)));
    if let Err(difference) = lived {
        panic!("{difference}");
    }
}

/// Lives one scenario in two homes.
///
/// # Errors
/// At the first difference.
pub fn run_scenario(
    scenario: &Scenario,
    join: &Join,
    home: &mut impl Home,
    reference: &mut impl Home,
) -> TestCaseResult {
    let mut now = START + SPAN_MINUTES / 2 * MINUTE_MS;
    let mut tally = Tally::default();
    for step in &scenario.steps {
        match step {
            Step::Ingest(items) => {
                let batch: Vec<Vec<u8>> = items.iter().map(|item| scenario.bytes(item)).collect();
                let outcomes = home.ingest(&batch, now);
                prop_assert_eq!(&outcomes, &reference.ingest(&batch, now), "outcomes");
                tally.take(scenario, items, &batch, &outcomes)?;
            }
            Step::Snapshot(key) => {
                let closed = home.snapshot(KEYS[*key], now);
                prop_assert_eq!(closed, reference.snapshot(KEYS[*key], now), "closed");
            }
            Step::Trim(key) => prop_assert_eq!(home.trim(KEYS[*key]), reference.trim(KEYS[*key]), "trimmed rows"),
            Step::Wait(minutes) => now += minutes * MINUTE_MS,
        }
        alike(home, reference)?;
        tally.check(join, home)?;
    }
    prop_assert_eq!(home.verify(), 0);
    prop_assert_eq!(reference.verify(), 0);
    Ok(())
}

/// Everything that can be seen of two homes.
fn alike(home: &impl Home, reference: &impl Home) -> TestCaseResult {
    prop_assert_eq!(home.keys(), reference.keys());
    prop_assert_eq!(home.late(), reference.late());
    prop_assert_eq!(home.quarantined(), reference.quarantined());
    for key in KEYS {
        prop_assert_eq!(home.document(key), reference.document(key), "document of {}", key);
        prop_assert_eq!(home.state_bytes(key), reference.state_bytes(key), "state of {}", key);
        prop_assert_eq!(home.events(key), reference.events(key), "events of {}", key);
        prop_assert_eq!(home.snapshot_events(key), reference.snapshot_events(key), "snapshot of {}", key);
        prop_assert_eq!(home.through(key), reference.through(key), "boundary of {}", key);
        prop_assert_eq!(home.tail(key), reference.tail(key), "tail of {}", key);
    }
    Ok(())
}

/// What a home said it did, to be held against what it shows.
#[derive(Default)]
struct Tally {
    accepted: BTreeMap<&'static str, Vec<Vec<u8>>>,
    late: usize,
    quarantined: BTreeSet<Vec<u8>>,
}

impl Tally {
    fn take(
        &mut self,
        scenario: &Scenario,
        items: &[Item],
        batch: &[Vec<u8>],
        outcomes: &[Vec<OutcomeKind>],
    ) -> TestCaseResult {
        prop_assert_eq!(outcomes.len(), batch.len(), "each event is answered");
        for ((item, bytes), outcomes) in items.iter().zip(batch).zip(outcomes) {
            let keys = scenario.keys(item);
            let whole = matches!(outcomes[..], [OutcomeKind::Quarantined(_) | OutcomeKind::Ignored]);
            prop_assert!(whole || outcomes.len() == keys.len(), "{:?}: one outcome a key", outcomes);
            for (place, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    OutcomeKind::Accepted => self.accepted.entry(keys[place]).or_default().push(bytes.clone()),
                    OutcomeKind::Late => self.late += 1,
                    OutcomeKind::Quarantined(_) => drop(self.quarantined.insert(bytes.clone())),
                    OutcomeKind::Duplicate => {}
                    OutcomeKind::Ignored => prop_assert!(matches!(item, Item::Foreign(_))),
                }
            }
        }
        Ok(())
    }

    /// received = accepted + duplicates + late + quarantined + ignored, and each is where it was
    /// said to be: every accepted event in the view exactly once.
    fn check(&self, join: &Join, home: &impl Home) -> TestCaseResult {
        prop_assert_eq!(home.late().len(), self.late, "late events are in the late queue");
        prop_assert_eq!(home.quarantined(), self.quarantined.clone(), "quarantined ones in quarantine");
        for key in KEYS {
            let accepted = self.accepted.get(key).map_or(&[][..], |events| events);
            let (events, closed, tail) = (home.events(key), home.snapshot_events(key), home.tail(key));
            prop_assert_eq!(events, accepted.len() as u64, "accepted events of {}", key);
            prop_assert_eq!(events, closed + tail.len() as u64, "snapshot + tail of {}", key);
            let document = home.document(key);
            if accepted.is_empty() {
                prop_assert_eq!(document, None);
            } else {
                prop_assert_eq!(document, Some(naive::document(join, key, accepted)), "naive fold of {}", key);
            }
        }
        Ok(())
    }
}
