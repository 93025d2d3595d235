//! The events of a life, and the examiner at its end: each event is counted once, or can be seen.

use std::collections::{BTreeMap, BTreeSet};

use millpond_core::{Join, Position};
use millpond_testkit::naive;
use serde_json::{Value, json};

use crate::plan::{Fault, Plan};

/// When a life begins, in milliseconds since 1970 UTC.
pub const T: u64 = 1_760_000_000_000;
/// In milliseconds.
pub const MINUTE: u64 = 60_000;
/// How long a place stays open, in the definition.
pub const LATENESS: u64 = 60 * MINUTE;
/// The keys that events join.
pub const KEYS: [&str; 3] = ["hot", "k1", "k 2/é"];
/// Events of a life, without what is sent again.
pub const EVENTS: usize = 36;
/// How long events are sent for.
const SPAN: u64 = 300 * MINUTE;

/// The view of a life; `{every}` stands for `snapshot_every`.
pub const DEFINITION: &str = r#"
name = "lives"
lateness = "60m"
snapshot_every = {every}
[key]
a = "k"
b = ["k", "also"]
[view]
last  = { latest = "text" }
first = { first = "text", of = "a" }
sum   = { sum = "amount" }
low   = { min = "amount", of = "b" }
texts = { list = "text", last = 4 }
seen  = { set = "text", max = 5 }
n     = { count = ["a", "b"] }
many  = { count = ["a", "b"], where = "event.amount > 100" }
"#;

/// Another definition of the same join.
pub const REDEFINED: &str = r#"
name = "lives"
lateness = "60m"
snapshot_every = {every}
[key]
a = "k"
b = ["k", "also"]
[view]
n     = { count = "b" }
high  = { max = "amount" }
mean  = { avg = "amount" }
texts = { list = "text", of = "a", last = 3 }
"#;

/// The definition of a life.
#[must_use]
pub fn definition(text: &str, plan: &Plan) -> String {
    let every = if has_one_key(plan) { 40 } else { [1, 2, 3, 5, 9][plan.chance(2).usize(..5)] };
    text.replace("{every}", &every.to_string())
}

/// In some lives there is only one key, and its tail gets long.
fn has_one_key(plan: &Plan) -> bool {
    plan.chance(6).u32(..6) == 0
}

/// What is put on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When, in milliseconds since 1970 UTC.
    pub at: u64,
    /// What.
    pub text: String,
    /// The keys it joins; none if it cannot be joined.
    pub keys: Vec<&'static str>,
}

/// What is sent in a life, in the order of time.
#[must_use]
pub fn sent(plan: &Plan, count: impl Fn(Fault)) -> Vec<Sent> {
    let weights = plan.weights();
    let keys = if has_one_key(plan) { &KEYS[..1] } else { &KEYS[..] };
    let mut all: Vec<Sent> = Vec::new();
    for number in 0..EVENTS {
        let mut chance = plan.chance(1_000 + number as u64);
        let mut happens = |fault| chance.u32(..100) < weights.of(fault);
        let faults = [Fault::Poison, Fault::Late, Fault::Disorder, Fault::SameId, Fault::Duplicate].map(&mut happens);
        if !plan.keeps(number) {
            continue;
        }
        let [is_poison, is_late, is_disorder, is_same_id, is_duplicate] = faults;
        let at = T + 2 * LATENESS + SPAN * number as u64 / EVENTS as u64 + chance.u64(..MINUTE);
        if is_poison {
            count(Fault::Poison);
            all.push(poison(number, at, &mut chance));
            continue;
        }
        let age = match (is_late, is_disorder) {
            (true, _) => {
                count(Fault::Late);
                chance.u64(50 * MINUTE..120 * MINUTE)
            }
            (_, true) => {
                count(Fault::Disorder);
                chance.u64(..48 * MINUTE)
            }
            _ => chance.u64(..1_000),
        };
        // Some share a timestamp.
        let timestamp = if chance.bool() { (at - age) / MINUTE * MINUTE } else { at - age };
        let mut one = event(number, timestamp, keys, &mut chance);
        one.at = at;
        if is_duplicate {
            count(Fault::Duplicate);
            let again = [MINUTE, 20 * MINUTE, 120 * MINUTE][chance.usize(..3)];
            all.push(Sent { at: at + chance.u64(..again), ..one.clone() });
        }
        if is_same_id {
            count(Fault::SameId);
            let text = one.text.replacen("\"amount\":", "\"amount\":1", 1);
            all.push(Sent { at: at + chance.u64(..20 * MINUTE), text, keys: one.keys.clone() });
        }
        all.push(one);
    }
    all.sort_by_key(|sent| sent.at);
    all
}

fn event(number: usize, timestamp: u64, keys: &[&'static str], chance: &mut fastrand::Rng) -> Sent {
    // Most are of one key, so that its tail is long.
    let mut key = || keys[if chance.u32(..3) > 0 { 0 } else { chance.usize(..keys.len()) }];
    let (key, also) = (key(), key());
    let kind = if chance.bool() { "a" } else { "b" };
    let mut joined = vec![key];
    if kind == "b" && also != key {
        joined.push(also);
    }
    let text = json!({
        // Ids whose order is not that of sending.
        "id": format!("{}-e{number}", (number * 7 + 3) % 11), "type": kind, "timestamp": timestamp, "k": key, "also": also,
        "text": format!("t{}", chance.u32(..12)), "amount": chance.i32(-500..500),
    });
    Sent { at: 0, text: text.to_string(), keys: joined }
}

fn poison(number: usize, at: u64, chance: &mut fastrand::Rng) -> Sent {
    let text = match chance.u32(..4) {
        0 => format!("poison {number}"),
        1 => {
            json!({"id": format!("p{number}"), "type": "a", "timestamp": at + 50_000 * MINUTE, "k": "hot"}).to_string()
        }
        2 => json!({"id": format!("p{number}"), "type": "a", "timestamp": at}).to_string(),
        _ => format!("{{\"id\":\"p{number}\",\"type\":\"a\",\"timestamp\":{at},\"k\":\"hot\",}}"),
    };
    Sent { at, text, keys: Vec::new() }
}

/// What is there at the end of a life.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Texts that ever became rows, by key.
    pub accepted: BTreeMap<String, Vec<String>>,
    /// Key and text of each late event.
    pub late: BTreeSet<(String, String)>,
    /// Texts in quarantine.
    pub quarantined: BTreeSet<String>,
    /// The documents of views.
    pub documents: BTreeMap<String, String>,
    /// How far keys were erased: what is at or below stays out.
    pub erased: BTreeMap<String, Position>,
}

/// Each event that was sent is counted exactly once, or can be seen; nothing else is there.
///
/// # Errors
/// What is not so.
pub fn examine(join: &Join, sent: &[Sent], found: &Found) -> Result<(), String> {
    for one in sent {
        if one.keys.is_empty() && !found.quarantined.contains(&one.text) {
            return Err(format!("it cannot be joined, and is not in quarantine: {}", one.text));
        }
        for key in &one.keys {
            let accepted = found.accepted.get(*key).is_some_and(|rows| rows.contains(&one.text));
            let late = found.late.contains(&((*key).to_owned(), one.text.clone()));
            if !accepted && !late && !found.quarantined.contains(&one.text) {
                return Err(format!("lost for key {key}: {}", one.text));
            }
        }
    }
    let known: BTreeMap<&str, &[&str]> = sent.iter().map(|one| (&*one.text, &*one.keys)).collect();
    for (key, rows) in &found.accepted {
        if let Some(row) = rows.iter().find(|row| !known.get(&***row).is_some_and(|keys| keys.contains(&&**key))) {
            return Err(format!("nobody sent this for key {key}: {row}"));
        }
    }
    if let Some(text) = found.quarantined.iter().find(|text| !known.contains_key(&***text)) {
        return Err(format!("nobody sent what is in quarantine: {text}"));
    }
    if let Some((key, text)) = found.late.iter().find(|(_, text)| !known.contains_key(&**text)) {
        return Err(format!("nobody sent what is late for key {key}: {text}"));
    }
    for key in KEYS {
        let accepted = found.accepted.get(key).into_iter().flatten();
        let stays = |text: &&String| found.erased.get(key).is_none_or(|erased| position(text).as_ref() > Some(erased));
        let accepted: Vec<String> = accepted.filter(stays).cloned().collect();
        let right = (!accepted.is_empty()).then(|| naive::document(join, key, &accepted));
        let document = found.documents.get(key);
        if document != right.as_ref() {
            let show = |document: Option<&String>| document.map_or("none".to_owned(), ToString::to_string);
            return Err(format!("the view of {key} is {}\nit should be {}", show(document), show(right.as_ref())));
        }
    }
    Ok(())
}

fn position(text: &str) -> Option<Position> {
    let event: Value = serde_json::from_str(text).ok()?;
    Some(Position::new(event["timestamp"].as_u64()?, event["id"].as_str()?))
}

/// The timestamp of an event's text.
#[must_use]
pub fn timestamp(text: &str) -> Option<u64> {
    serde_json::from_str::<Value>(text).ok()?["timestamp"].as_u64()
}
