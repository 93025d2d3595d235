//! Laws of the folds, each over generated histories of a definition with every fold: no order, no
//! grouping and no cut can be seen, and the naive fold agrees.

use millpond_core::fold::contribution;
use millpond_core::process::consumer::{Read, read};
use millpond_core::snapshot::{Closing, SnapshotDecision, decide};
use millpond_core::state::{BadState, STATE_BYTES_MAX};
use millpond_core::store::Row;
use millpond_core::verify::verify;
use millpond_core::view::Folded;
use millpond_core::{Event, FieldState, Fold, Join, Position, State, View};
use millpond_testkit::events::{ALL_FOLDS, Sample, delivery, history, permutation};
use millpond_testkit::{naive, runner};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;

const CASES: u32 = 300;
const MINUTES: u64 = 20;

fn join() -> Join {
    Join::parse(ALL_FOLDS).expect("the definition is right")
}

fn check<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, law: impl Fn(&Join, T) -> TestCaseResult) {
    let join = join();
    if let Err(broken) = runner(CASES).run(&strategy, |value| law(&join, value)) {
        panic!("{broken}");
    }
}

/// A history, and a permutation of it.
fn shuffled() -> impl Strategy<Value = (Vec<Sample>, Vec<usize>)> {
    history(0..25, MINUTES).prop_flat_map(|history| {
        let order = permutation(history.len());
        (Just(history), order)
    })
}

/// The state of one event alone.
fn alone(join: &Join, sample: &Sample) -> State {
    let mut state = State::empty(join);
    fold_into(join, &mut state, sample);
    state
}

fn fold_into(join: &Join, state: &mut State, sample: &Sample) {
    let event = Event::read(join, sample.text.as_bytes()).expect("samples are events");
    let kind = join.type_index(&event.kind).expect("samples have known types");
    state.fold(join, kind, &event);
}

fn folded<'s>(join: &Join, samples: impl IntoIterator<Item = &'s Sample>) -> State {
    let mut state = State::empty(join);
    samples.into_iter().for_each(|sample| fold_into(join, &mut state, sample));
    state
}

fn row(sample: &Sample) -> Row {
    Row { position: sample.position.clone(), put_at: 0, body: sample.text.as_str().into() }
}

fn sorted_rows(history: &[Sample]) -> Vec<Row> {
    let mut rows: Vec<Row> = history.iter().map(row).collect();
    rows.sort_by(|a, b| a.position.cmp(&b.position));
    rows
}

#[test]
fn samples_are_events_with_the_keys_and_positions_they_claim() {
    check(history(0..10, MINUTES), |join, history| {
        for sample in &history {
            let Ok(Read::Joins(event, _, keys)) = read(join, sample.text.as_bytes(), u64::MAX) else {
                return Err(TestCaseError::fail(sample.text.clone()));
            };
            prop_assert_eq!(event.position().to_position(), sample.position.clone());
            prop_assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), &sample.keys[..]);
        }
        Ok(())
    });
}

#[test]
fn no_order_of_events_can_be_seen() {
    check(shuffled(), |join, (history, order)| {
        let straight = folded(join, &history);
        let permuted = folded(join, order.iter().map(|index| &history[*index]));
        prop_assert_eq!(straight.to_bytes(), permuted.to_bytes());
        prop_assert_eq!(straight.bytes(), permuted.bytes());
        Ok(())
    });
}

#[test]
fn no_grouping_into_merges_can_be_seen() {
    let strategy = (shuffled(), proptest::collection::vec((any::<u16>(), any::<bool>()), 30));
    check(strategy, |join, ((history, order), picks)| {
        // A random binary tree of merges: two neighbours or strangers become one, until one is left.
        let mut parts: Vec<State> = order.iter().map(|index| alone(join, &history[*index])).collect();
        for (pick, swapped) in picks.iter().cycle() {
            if parts.len() < 2 {
                break;
            }
            let mut left = parts.swap_remove(usize::from(*pick) % parts.len());
            let place = usize::from(*pick) / 7 % parts.len();
            let mut right = parts.swap_remove(place);
            if *swapped {
                std::mem::swap(&mut left, &mut right);
            }
            left.merge(join, right);
            parts.push(left);
        }
        let merged = parts.pop().unwrap_or_else(|| State::empty(join));
        prop_assert_eq!(merged.to_bytes(), folded(join, &history).to_bytes());
        Ok(())
    });
}

#[test]
fn the_empty_state_is_neutral_on_both_sides() {
    check(history(0..10, MINUTES), |join, history| {
        let state = folded(join, &history);
        let (mut left, mut right) = (State::empty(join), state.clone());
        left.merge(join, state.clone());
        right.merge(join, State::empty(join));
        prop_assert_eq!(&left, &state);
        prop_assert_eq!(&right, &state);
        Ok(())
    });
}

#[test]
fn states_survive_their_bytes() {
    check(history(0..15, MINUTES), |join, history| {
        let state = folded(join, &history);
        let again = State::from_bytes(join, &state.to_bytes());
        prop_assert_eq!(again.ok(), Some(state));
        Ok(())
    });
}

/// A table keeps no checksums of what lies in it.
#[test]
fn altered_bytes_are_no_state_or_can_be_shown() {
    let altered = (history(1..15, MINUTES), any::<Index>(), any::<u8>());
    check(altered, |join, (history, at, byte)| {
        let mut bytes = folded(join, &history).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(state) = State::from_bytes(join, &bytes) {
            let document = state.document(join, "k");
            prop_assert!(serde_json::from_str::<serde_json::Value>(&document).is_ok(), "{document}");
        }
        Ok(())
    });
}

#[test]
fn bytes_of_another_definition_are_no_state() {
    let of = |view: &str| {
        let text = format!("name = 'j'\nlateness = '1h'\n[key]\na = 'k'\n[view]\n{view}");
        Join::parse(&text).expect("the definition is right")
    };
    let (counts, shows) = (of("x = { count = 'a' }"), of("x = { latest = 'v' }"));
    let more = of("x = { count = 'a' }\ny = { exists = 'a' }");
    let mut state = State::empty(&counts);
    let event = Event::read(&counts, br#"{"id":"1","type":"a","timestamp":1,"k":"k"}"#).expect("it is an event");
    state.fold(&counts, counts.type_index("a").expect("it is known"), &event);
    let bytes = state.to_bytes();
    assert_eq!(State::from_bytes(&shows, &bytes), Err(BadState::Field("x".into())));
    assert_eq!(State::from_bytes(&more, &bytes), Err(BadState::Fields { fields: 1, expected: 2 }));
    assert!(matches!(State::from_bytes(&counts, &bytes[..1]), Err(BadState::Bytes(_))));
    assert_eq!(State::from_bytes(&counts, &bytes), Ok(state));
}

#[test]
fn folding_as_events_arrive_is_refolding() {
    let strategy = history(1..20, MINUTES).prop_flat_map(|history| {
        let delivery = delivery(history.len());
        (Just(history), delivery)
    });
    check(strategy, |join, (history, batches)| {
        // What a home does: fold what is new of each batch in, whatever its position.
        let mut incremental = Folded::from_snapshot(join, None);
        let mut seen = Vec::new();
        for index in batches.into_iter().flatten() {
            if !seen.contains(&index) {
                seen.push(index);
                prop_assert!(incremental.fold(join, &row(&history[index])).is_ok());
            }
            let mut rows: Vec<Row> = seen.iter().map(|index| row(&history[*index])).collect();
            rows.sort_by(|a, b| a.position.cmp(&b.position));
            let refolded = Folded::from_snapshot(join, None).fold_all(join, &rows);
            prop_assert_eq!(refolded.as_ref(), Ok(&incremental));
        }
        Ok(())
    });
}

#[test]
fn at_every_cut_snapshot_and_tail_are_the_whole() {
    check(history(1..16, MINUTES), |join, history| {
        let rows = sorted_rows(&history);
        let whole = Folded::from_snapshot(join, None).fold_all(join, &rows).map_err(fail)?;
        for cut in 0..=rows.len() {
            let mut view = View::unstored(join, whole.clone(), None);
            // Everything below the cut was put long ago, everything above just now.
            let now = rows[rows.len() - 1].position.timestamp + join.lateness_ms() + 1;
            let mut aged = rows.clone();
            aged[cut..].iter_mut().for_each(|row| row.put_at = now);
            match decide(join, &view, &aged, now, Closing::Settled).map_err(fail)? {
                SnapshotDecision::Nothing => prop_assert_eq!(cut, 0),
                SnapshotDecision::Close { snapshot, folded, tail_events } => {
                    prop_assert_eq!(snapshot.events, cut as u64);
                    prop_assert_eq!(tail_events, (rows.len() - cut) as u64);
                    prop_assert_eq!(&snapshot.through, &rows[cut - 1].position);
                    let again = Folded::from_snapshot(join, Some(&snapshot)).fold_all(join, &rows[cut..]);
                    prop_assert_eq!(again.as_ref(), Ok(&whole));
                    prop_assert_eq!(&*folded, &whole);
                    (view.snapshot, view.state) = (Some(*snapshot), folded.state);
                    prop_assert_eq!(verify(join, &view, &rows[cut..]), Ok(vec![]));
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_view_never_forgets_how_far_it_has_folded() {
    let join = join();
    let far = Folded { folded_to: Position::new(9, "z"), ..Folded::from_snapshot(&join, None) };
    let near = Folded { folded_to: Position::new(9, "a"), events: 3, ..far.clone() };
    let mut view = View::unstored(&join, far.clone(), None);
    view.replace(near);
    assert_eq!((view.folded_to, view.events), (far.folded_to, 3));
}

#[test]
fn documents_are_those_of_the_naive_fold() {
    check(shuffled(), |join, (history, order)| {
        let state = folded(join, order.iter().map(|index| &history[*index]));
        let texts: Vec<&str> = history.iter().map(|sample| sample.text.as_str()).collect();
        prop_assert_eq!(state.document(join, "a \"key\""), naive::document(join, "a \"key\"", &texts));
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&state.document(join, "k"));
        prop_assert!(parsed.is_ok(), "documents are JSON");
        Ok(())
    });
}

/// A fold that never has a value would keep every law above.
#[test]
fn generated_histories_reach_every_fold_with_values_and_gaps() {
    let join = join();
    let mut given = vec![0u32; join.fields().len()];
    let mut missed = given.clone();
    let mut more = 0;
    let collected = std::cell::RefCell::new(Vec::new());
    runner(60)
        .run(&history(20..25, MINUTES), |history| {
            collected.borrow_mut().push(history);
            Ok(())
        })
        .unwrap();
    for history in collected.into_inner() {
        for sample in &history {
            let event = Event::read(&join, sample.text.as_bytes()).unwrap();
            let (gives, gaps) = contribution(&join, join.type_index(&event.kind).unwrap(), &event);
            gives.iter().for_each(|(index, _)| given[usize::from(*index)] += 1);
            gaps.iter().for_each(|index| missed[usize::from(*index)] += 1);
        }
        more += folded(&join, &history).fields().iter().filter(|field| field.has_more()).count();
    }
    for ((field, given), missed) in join.fields().iter().zip(given).zip(missed) {
        assert!(given > 20, "{} had {given} values", field.name);
        let total = field.condition.is_none() && matches!(field.fold, Fold::Count | Fold::Exists);
        let always = field
            .value
            .as_ref()
            .is_some_and(|value| ["id", "type", "timestamp", "body"].contains(&&*join.shown(value)));
        assert!(missed > 0 || total || always, "{} had no gap", field.name);
    }
    assert!(more > 20, "sets left values out {more} times");
}

#[test]
fn each_fold_in_one_small_example() {
    let definition = r#"
        name = "small"
        key.t = "k"
        [view]
        latest = { latest = "v" }
        first = { first = "v" }
        count = { count = "t" }
        sum = { sum = "v" }
        min = { min = "v" }
        max = { max = "v" }
        avg = { avg = "v" }
        list = { list = "v", last = 2 }
        set = { set = "v", max = 2 }
        exists = { exists = "t" }
    "#;
    let join = Join::parse(definition).unwrap();
    for (field, name) in join.shown_fields().map(|(_, field)| field).zip(Fold::NAMES) {
        assert_eq!((&*field.name, field.fold.name()), (name, name));
    }
    let mut state = State::empty(&join);
    assert_eq!(state.fields(), vec![FieldState::Nothing; 10]);
    assert_eq!(
        state.document(&join, "k"),
        r#"{"id":"k","latest":null,"first":null,"count":0,"sum":0,"min":null,"max":null,"avg":null,"list":[],"set":[],"exists":false}"#
    );
    for (id, timestamp, v) in [("b", 2, "0.1"), ("c", 2, "0.20"), ("a", 1, "\"x\""), ("d", 0, "3e0"), ("e", 9, "null")]
    {
        let text = format!(r#"{{"id":"{id}","type":"t","timestamp":{timestamp},"k":"k","v":{v}}}"#);
        let event = Event::read(&join, text.as_bytes()).unwrap();
        state.fold(&join, join.type_index("t").unwrap(), &event);
    }
    assert_eq!(
        state.document(&join, "k"),
        r#"{"id":"k","latest":0.2,"first":3,"count":5,"sum":3.3,"min":0.1,"max":3,"avg":1.1,"list":[0.1,0.2],"set":["x",0.1],"exists":true,"_more":["set"]}"#
    );
}

/// A state of one field, of events by id and text.
fn of_one(fold: &str, events: &[(&str, usize)]) -> (Join, State) {
    let join =
        Join::parse(&format!("name = \"one\"\nkey.t = \"k\"\n[view]\nv = {fold}\n")).expect("the definition is right");
    let mut state = State::empty(&join);
    for (timestamp, (id, length)) in events.iter().enumerate() {
        let value = "x".repeat(*length);
        let text = format!(r#"{{"id":"{id}","type":"t","timestamp":{timestamp},"k":"k","v":"{value}"}}"#);
        let event = Event::read(&join, text.as_bytes()).expect("it is an event");
        state.fold(&join, join.type_index("t").expect("the type is known"), &event);
    }
    (join, state)
}

#[test]
fn the_bytes_of_a_state_are_those_of_its_values_and_their_ids() {
    for (fold, has_ids, has_all) in [
        ("{ latest = \"v\" }", true, false),
        ("{ max = \"v\" }", false, false),
        ("{ list = \"v\", last = 9 }", true, true),
        ("{ set = \"v\", max = 9 }", false, true),
    ] {
        let bytes = |events: &[(&str, usize)]| of_one(fold, events).1.bytes();
        let one = bytes(&[("id1", 100)]);
        assert_eq!(bytes(&[("id1", 1_100)]) - one, 1_000, "{fold}");
        assert_eq!(bytes(&[("id123456", 100)]) - one, if has_ids { 5 } else { 0 }, "{fold}");
        // One more of 200 bytes: as much as it would take alone, without the field.
        let two = bytes(&[("id1", 100), ("id2", 200)]);
        let empty = of_one(fold, &[]).1.bytes();
        assert_eq!(two - one, if has_all { one + 100 - empty } else { 100 }, "{fold}");
    }
}

#[test]
fn a_state_of_the_largest_size_is_not_marked_and_one_byte_more_is() {
    let fold = "{ latest = \"v\" }";
    let marked = |length: usize| {
        let (join, state) = of_one(fold, &[("id", length)]);
        (state.bytes(), state.document(&join, "k").contains("_overflow"))
    };
    let length = STATE_BYTES_MAX - marked(0).0;
    assert_eq!((marked(length), marked(length + 1)), ((STATE_BYTES_MAX, false), (STATE_BYTES_MAX + 1, true)));
}

#[test]
fn nothing_shows_in_no_field_and_every_event_in_a_count() {
    let whole = FieldState::Count(3);
    assert!(!FieldState::Nothing.shows_in(&whole) && FieldState::Count(1).shows_in(&whole));
}

#[test]
fn a_state_past_its_limit_is_marked_and_still_exact() {
    let definition =
        "name = \"wide\"\nkey.t = \"k\"\n[view]\nall = { list = \"v\", last = 1000 }\nn = { count = \"t\" }\n";
    let join = Join::parse(definition).unwrap();
    let body = "x".repeat(1000);
    let document = |events: u32| {
        let mut state = State::empty(&join);
        for n in 0..events {
            let text = format!(r#"{{"id":"{n}","type":"t","timestamp":{n},"k":"k","v":"{body}"}}"#);
            let event = Event::read(&join, text.as_bytes()).unwrap();
            state.fold(&join, join.type_index("t").unwrap(), &event);
        }
        state.document(&join, "k")
    };
    assert!(!document(200).contains("_overflow"));
    assert!(document(300).ends_with("\"n\":300,\"_overflow\":true}"));
}

fn fail(rejection: millpond_core::Rejection) -> TestCaseError {
    TestCaseError::fail(rejection.to_string())
}
