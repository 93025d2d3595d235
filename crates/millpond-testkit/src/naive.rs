//! The naive fold: every event parsed whole, every field computed from scratch from all events.
//! Slow, plain, and on purpose without a line of the core's fold, state or number code.
//!
//! It knows native events, numbers of up to nine digits before and six after the point, and the
//! conditions of [`crate::events::ALL_FOLDS`] and of the proof's lives.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use millpond_core::{Field, Fold, Join};
use serde_json::Value;

/// Digits after the point in the text of an average.
const AVG_DIGITS: u32 = 28;
const MILLION: i128 = 1_000_000;

/// The document of `key` after these accepted events, each given once or more, in any order.
///
/// # Panics
/// If an event is no native event, or the definition says what this fold does not know.
#[must_use]
pub fn document(join: &Join, key: &str, events: &[impl AsRef<[u8]>]) -> String {
    let mut history: BTreeMap<(u64, String), Value> = BTreeMap::new();
    for bytes in events {
        let event: Value = serde_json::from_slice(bytes.as_ref()).expect("accepted events are JSON");
        let timestamp = event["timestamp"].as_u64().expect("accepted events have a timestamp");
        let id = event["id"].as_str().expect("accepted events have an id").to_owned();
        history.insert((timestamp, id), event);
    }
    let history: Vec<&Value> = history.values().collect();
    let mut members = vec![format!("\"id\":{}", Value::from(key))];
    let mut more = Vec::new();
    for (_, field) in join.shown_fields() {
        let (text, left_out) = fold(join, field, &history);
        members.push(format!("{}:{text}", Value::from(field.name.as_str())));
        if left_out {
            more.push(Value::from(field.name.as_str()).to_string());
        }
    }
    if !more.is_empty() {
        members.push(format!("\"_more\":[{}]", more.join(",")));
    }
    format!("{{{}}}", members.join(","))
}

/// A field's text, and whether a bounded set left values out.
fn fold(join: &Join, field: &Field, history: &[&Value]) -> (String, bool) {
    let kinds: Vec<&str> = field.of.iter().map(|kind| join.type_name(*kind)).collect();
    let events: Vec<&Value> = history
        .iter()
        .copied()
        .filter(|event| kinds.contains(&event["type"].as_str().expect("accepted events have a type")))
        .filter(|event| field.condition.as_ref().is_none_or(|condition| holds(condition.source(), event)))
        .collect();
    let values: Vec<&Value> = match &field.value {
        Some(source) => {
            let path = segments(&join.shown(source));
            events.iter().filter_map(|event| at(event, &path)).filter(|value| !value.is_null()).collect()
        }
        None => Vec::new(),
    };
    let numbers: Vec<i128> = values.iter().filter_map(|value| millionths(value)).collect();
    let text = match field.fold {
        Fold::Count => return (events.len().to_string(), false),
        Fold::Exists => return ((!events.is_empty()).to_string(), false),
        Fold::Sum => return (decimal(numbers.iter().sum()), false),
        Fold::List { last } => {
            let kept = values.iter().skip(values.len().saturating_sub(last as usize));
            return (format!("[{}]", kept.map(|value| canonical(value)).collect::<Vec<_>>().join(",")), false);
        }
        Fold::Set { max } => {
            let distinct: BTreeSet<String> = values.iter().map(|value| canonical(value)).collect();
            let kept: Vec<String> = distinct.iter().take(max as usize).cloned().collect();
            return (format!("[{}]", kept.join(",")), distinct.len() > max as usize);
        }
        Fold::Latest => values.last().map(|value| canonical(value)),
        Fold::First => values.first().map(|value| canonical(value)),
        Fold::Avg => (!numbers.is_empty()).then(|| quotient(numbers.iter().sum(), numbers.len() as i128)),
        Fold::Min => scalars(&values).into_iter().min_by(|a, b| order(a, b)).map(canonical),
        Fold::Max => scalars(&values).into_iter().max_by(|a, b| order(a, b)).map(canonical),
    };
    let default = field.default.as_ref().map_or("null", |json| json.as_str());
    (text.unwrap_or_else(|| default.to_owned()), false)
}

/// The numbers, or where there are none the texts.
fn scalars<'v>(values: &[&'v Value]) -> Vec<&'v Value> {
    let numbers: Vec<&Value> = values.iter().copied().filter(|value| value.is_number()).collect();
    let texts = || values.iter().copied().filter(|value| value.is_string()).collect();
    if numbers.is_empty() { texts() } else { numbers }
}

fn order(left: &Value, right: &Value) -> Ordering {
    millionths(left).cmp(&millionths(right)).then_with(|| left.as_str().cmp(&right.as_str()))
}

/// The conditions of [`crate::events::ALL_FOLDS`] and of the proof's lives, written out by hand.
fn holds(condition: &str, event: &Value) -> bool {
    match condition {
        "event.amount > 100" => millionths(&event["amount"]).is_some_and(|n| n > 100 * MILLION),
        "event.n > 10" => millionths(&event["n"]).is_some_and(|n| n > 10 * MILLION),
        "event.flag" => event["flag"] == true,
        "event.items.exists(i, i == 2)" => {
            event["items"].as_array().is_some_and(|items| items.iter().any(|i| millionths(i) == Some(2 * MILLION)))
        }
        _ => panic!("the naive fold does not know the condition `{condition}`"),
    }
}

/// `a."b.c".d` as its segments.
fn segments(path: &str) -> Vec<String> {
    path.split('"')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            1 => vec![part.to_owned()],
            _ => part.split('.').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
        })
        .collect()
}

fn at<'v>(event: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(event, |value, segment| match value {
        Value::Array(elements) => elements.get(segment.parse::<usize>().ok()?),
        _ => value.get(segment),
    })
}

/// Exact for the numbers that are generated: doubles hold 15 digits.
fn millionths(value: &Value) -> Option<i128> {
    let number = value.as_number()?;
    if let Some(whole) = number.as_i128() {
        return Some(whole * MILLION);
    }
    Some((number.as_f64()? * 1e6).round() as i128)
}

fn decimal(millionths: i128) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let (whole, rest) = (millionths.abs() / MILLION, millionths.abs() % MILLION);
    match rest {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{}", format!("{rest:06}").trim_end_matches('0')),
    }
}

/// Long division on paper: one digit a step, then rounded half up in magnitude.
fn quotient(millionths: i128, count: i128) -> String {
    let divisor = count * MILLION;
    let (mut digits, mut rest) = ((millionths.abs() / divisor).to_string(), millionths.abs() % divisor);
    for _ in 0..AVG_DIGITS {
        digits.push_str(&(rest * 10 / divisor).to_string());
        rest = rest * 10 % divisor;
    }
    let mut digits: Vec<u8> = digits.into_bytes();
    if rest * 2 >= divisor {
        let carried = digits.iter().rposition(|digit| *digit != b'9');
        let nines_from = carried.map_or(0, |place| place + 1);
        digits[nines_from..].fill(b'0');
        match carried {
            Some(place) => digits[place] += 1,
            None => digits.insert(0, b'1'),
        }
    }
    let fraction = digits.split_off(digits.len() - AVG_DIGITS as usize);
    let (whole, fraction) = (text(digits), text(fraction));
    let fraction = fraction.trim_end_matches('0');
    let sign = if millionths < 0 && (whole != "0" || !fraction.is_empty()) { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn text(digits: Vec<u8>) -> String {
    String::from_utf8(digits).expect("digits are ASCII")
}

/// Sorted members, no spaces, shortest numbers.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(_) => decimal(millionths(value).expect("it is a number")),
        Value::Array(elements) => format!("[{}]", elements.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members: Vec<String> = sorted
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        _ => value.to_string(),
    }
}
