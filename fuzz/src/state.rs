//! States: of events in any order and grouping, and of bytes that nobody ever wrote.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use millpond_core::process::consumer::{Read, read};
use millpond_core::{Join, State};
use millpond_testkit::events::ALL_FOLDS;

use crate::NOW;

static JOIN: LazyLock<Join> = LazyLock::new(|| Join::parse(ALL_FOLDS).expect("the definition is right"));

/// Lines of events if it begins with `{`, else a stored state.
pub fn run(bytes: &[u8]) {
    if bytes.starts_with(b"{") { events(bytes) } else { stored(bytes) }
}

fn events(bytes: &[u8]) {
    let mut positions = BTreeSet::new();
    let mut alone = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(Read::Joins(event, kind, _)) = read(&JOIN, line, NOW) else { continue };
        // One event a place, as a store has it.
        if positions.insert(event.position().to_position()) {
            let mut state = State::empty(&JOIN);
            state.fold(&JOIN, kind, &event);
            alone.push(state);
        }
    }
    let whole = merged(&alone);
    let document = whole.document(&JOIN, "k");
    serde_json::from_str::<serde_json::Value>(&document).expect("a document is JSON");
    assert_eq!(State::from_bytes(&JOIN, &whole.to_bytes()).as_ref(), Ok(&whole));
    assert_eq!(merged(alone.iter().rev()).to_bytes(), whole.to_bytes(), "the order shows");
    for cut in [1, alone.len() / 2, alone.len().saturating_sub(1)] {
        let (one, other) = alone.split_at(cut.min(alone.len()));
        let (one, other) = (merged(one), merged(other));
        assert_eq!(merged([&one, &other]), whole, "the grouping shows");
        assert_eq!(merged([&other, &one]), whole, "the order of groups shows");
    }
    assert_eq!(merged([&State::empty(&JOIN), &whole]), whole, "nothing is not neutral");
}

fn merged<'s>(states: impl IntoIterator<Item = &'s State>) -> State {
    let mut whole = State::empty(&JOIN);
    for state in states {
        whole.merge(&JOIN, state.clone());
    }
    whole
}

/// A state that is read can be written, shown and measured.
fn stored(bytes: &[u8]) {
    let Ok(state) = State::from_bytes(&JOIN, bytes) else { return };
    let written = state.to_bytes();
    assert_eq!(State::from_bytes(&JOIN, &written).as_ref(), Ok(&state));
    assert!(state.bytes() >= state.fields().len());
    let document = state.document(&JOIN, "k");
    serde_json::from_str::<serde_json::Value>(&document).expect("a document is JSON");
}
