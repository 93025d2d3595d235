//! The answer to events, put together from what each join made of them.

use std::fmt::Write as _;

use millpond_client::wire::Status;
use millpond_core::Rejection;
use millpond_core::json::quoted;
use millpond_store::Outcome;

/// What one join made of a request: an outcome an event and key, in the order of events.
pub(super) struct OfJoin<'o> {
    pub(super) name: &'o str,
    pub(super) outcomes: &'o [(u32, Outcome)],
}

/// The text of a [`millpond_client::wire::Taken`]. Written by hand: a batch has a thousand answers,
/// and making values of them would cost more than what is in them. `rejection` says why the event
/// at a place is in quarantine in the join at another.
pub(super) fn answer(count: usize, joins: &[OfJoin<'_>], rejection: impl Fn(usize, usize) -> Rejection) -> String {
    let mut text = String::with_capacity(128 + count * 24);
    write_counts(&mut text, joins);
    let mut rest: Vec<&[(u32, Outcome)]> = joins.iter().map(|join| join.outcomes).collect();
    for event in 0..count {
        let (mut first, mut gravest, mut differ, mut quarantined_in) = (None, Status::Ignored, false, None);
        for (join, outcomes) in rest.iter_mut().enumerate() {
            while let [(place, outcome), after @ ..] = outcomes
                && *place as usize == event
            {
                let status = status(*outcome);
                differ |= *first.get_or_insert(status) != status;
                gravest = gravest.max(status);
                if status == Status::Quarantined {
                    quarantined_in.get_or_insert(join);
                }
                *outcomes = after;
            }
        }
        if event > 0 {
            text.push(',');
        }
        text.push_str("{\"status\":\"");
        text.push_str(word(gravest));
        text.push('"');
        if let Some(join) = quarantined_in {
            let Rejection { reason, detail } = rejection(join, event);
            put(&mut text, format_args!(",\"reason\":\"{reason}\",\"detail\":{}", quoted(&detail)));
        }
        if differ {
            write_placements(&mut text, event, joins);
        }
        text.push('}');
    }
    text.push_str("]}");
    text
}

fn write_counts(text: &mut String, joins: &[OfJoin<'_>]) {
    let mut counts = [0u64; 5];
    for (_, outcome) in joins.iter().flat_map(|join| join.outcomes) {
        counts[status(*outcome) as usize] += 1;
    }
    let of = |status: Status| counts[status as usize];
    let received: u64 = counts.iter().sum();
    put(text, format_args!("{{\"received\":{received},\"accepted\":{}", of(Status::Accepted)));
    put(text, format_args!(",\"duplicate\":{},\"late\":{}", of(Status::Duplicate), of(Status::Late)));
    put(text, format_args!(",\"quarantined\":{},\"ignored\":{}", of(Status::Quarantined), of(Status::Ignored)));
    text.push_str(",\"events\":[");
}

fn write_placements(text: &mut String, event: usize, joins: &[OfJoin<'_>]) {
    text.push_str(",\"placements\":[");
    let mut comma = "";
    for OfJoin { name, outcomes } in joins {
        let start = outcomes.partition_point(|(place, _)| (*place as usize) < event);
        for (_, outcome) in outcomes[start..].iter().take_while(|(place, _)| *place as usize == event) {
            let (name, status) = (quoted(name), word(status(*outcome)));
            put(text, format_args!("{comma}{{\"join\":{name},\"status\":\"{status}\"}}"));
            comma = ",";
        }
    }
    text.push(']');
}

fn put(text: &mut String, written: std::fmt::Arguments<'_>) {
    text.write_fmt(written).expect("a text takes everything");
}

fn status(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Accepted => Status::Accepted,
        Outcome::Duplicate => Status::Duplicate,
        Outcome::Late => Status::Late,
        Outcome::Quarantined(_) => Status::Quarantined,
        Outcome::Ignored => Status::Ignored,
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ignored => "ignored",
        Status::Duplicate => "duplicate",
        Status::Accepted => "accepted",
        Status::Late => "late",
        Status::Quarantined => "quarantined",
    }
}

#[cfg(test)]
mod tests {
    use millpond_client::wire::{EventAnswer, Placement, Taken};
    use millpond_core::Reason;
    use proptest::prelude::*;

    use super::*;

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop::sample::select(vec![
            Outcome::Accepted,
            Outcome::Duplicate,
            Outcome::Late,
            Outcome::Quarantined(Reason::InvalidKey),
            Outcome::Ignored,
        ])
    }

    fn rejection(join: usize, event: usize) -> Rejection {
        Rejection::new(Reason::InvalidKey, format!("\"{join}\" of \n{event}"))
    }

    /// The same answer, as values.
    fn plain(count: usize, joins: &[OfJoin<'_>]) -> Taken {
        let mut taken = Taken::default();
        for event in 0..count {
            let mut placements = Vec::new();
            let mut quarantined_in = None;
            for (index, join) in joins.iter().enumerate() {
                for (_, outcome) in join.outcomes.iter().filter(|(place, _)| *place as usize == event) {
                    let status = status(*outcome);
                    taken.received += 1;
                    *match status {
                        Status::Accepted => &mut taken.accepted,
                        Status::Duplicate => &mut taken.duplicate,
                        Status::Late => &mut taken.late,
                        Status::Quarantined => &mut taken.quarantined,
                        Status::Ignored => &mut taken.ignored,
                    } += 1;
                    if status == Status::Quarantined {
                        quarantined_in.get_or_insert(index);
                    }
                    placements.push(Placement { join: join.name.to_owned(), status });
                }
            }
            let why = quarantined_in.map(|join| rejection(join, event));
            let status = placements.iter().map(|placement| placement.status).max().unwrap_or(Status::Ignored);
            if placements.iter().all(|placement| placement.status == status) {
                placements.clear();
            }
            let reason = why.as_ref().map(|why| why.reason.to_string());
            taken.events.push(EventAnswer { status, reason, detail: why.map(|why| why.detail), placements });
        }
        taken
    }

    proptest! {
        #[test]
        fn the_text_is_what_serde_makes_of_the_values(
            per_event in prop::collection::vec((prop::collection::vec(outcome(), 0..4), prop::collection::vec(outcome(), 0..3)), 0..8),
        ) {
            let places = |second: bool| -> Vec<(u32, Outcome)> {
                let each = per_event.iter().enumerate();
                each.flat_map(|(place, (a, b))| (if second { b } else { a }).iter().map(move |outcome| (place as u32, *outcome))).collect()
            };
            let (first, second) = (places(false), places(true));
            let joins = [OfJoin { name: "a", outcomes: &first }, OfJoin { name: "b\"", outcomes: &second }];
            let expected = serde_json::to_string(&plain(per_event.len(), &joins)).unwrap();
            prop_assert_eq!(answer(per_event.len(), &joins, rejection), expected);
        }
    }
}
