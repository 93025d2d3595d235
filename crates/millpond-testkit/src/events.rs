//! Generated histories: events of a few keys for a definition with every fold, with odd, absent
//! and equal values and equal timestamps; and the ways in which a history may be delivered.

use millpond_core::Position;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

/// Every fold, `of`, `where` and `default` where they are allowed, and small bounds.
pub const ALL_FOLDS: &str = r#"
name = "all-folds"
lateness = "1h"
snapshot_every = 3

[key]
a = "k"
b = ["k", "other.k"]
c = "body.k"

[view]
latest_v     = { latest = "v" }
latest_a     = { latest = "v", of = "a", default = "none yet" }
latest_body  = { latest = "body", of = "c" }
latest_deep  = { latest = 'body.deep."dot.ted".0' }
latest_type  = { latest = "type" }
first_v      = { first = "v", of = ["a", "b"], default = [1, { x = "é" }] }
first_big    = { first = "id", where = "event.n > 10" }
count_a      = { count = "a" }
count_big    = { count = ["a", "b", "c"], where = "event.n > 10" }
count_two    = { count = "b", where = "event.items.exists(i, i == 2)" }
sum_n        = { sum = "n" }
sum_v        = { sum = "v", of = "b" }
min_n        = { min = "n" }
max_n        = { max = "n", of = ["b", "c"], default = 0 }
min_v        = { min = "v" }
max_v        = { max = "v" }
max_time     = { max = "timestamp", default = 0 }
avg_n        = { avg = "n" }
avg_big      = { avg = "n", where = "event.n > 10", default = -1 }
list_v       = { list = "v", last = 3 }
list_id      = { list = "id", of = "b", last = 1 }
list_n       = { list = "n", where = "event.flag" }
set_v        = { set = "v", max = 3 }
set_kind     = { set = "type" }
set_items    = { set = "items", of = ["b", "c"], max = 1 }
exists_c     = { exists = "c" }
exists_flag  = { exists = ["a", "b"], where = "event.flag" }
"#;

/// The first timestamp of generated histories.
pub const START: u64 = 1_760_000_000_000;
/// The keys of generated histories: odd ones too.
pub const KEYS: [&str; 3] = ["u1", "ü \"2\"/\\", "k/3🙂"];
const MINUTE_MS: u64 = 60_000;

/// A generated event.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its JSON.
    pub text: String,
    /// The keys it joins, as the definition lists their paths.
    pub keys: Vec<&'static str>,
    /// Its position.
    pub position: Position,
}

/// A history of distinct events, in no order; timestamps repeat, and span `minutes`.
pub fn history(len: impl Into<proptest::collection::SizeRange>, minutes: u64) -> impl Strategy<Value = Vec<Sample>> {
    vec(body(), len).prop_perturb(move |bodies, mut random| {
        let mut samples = Vec::with_capacity(bodies.len());
        for (index, body) in bodies.into_iter().enumerate() {
            let timestamp = START + u64::from(random.random::<u32>()) % (minutes + 1) * MINUTE_MS;
            // Ids whose order is not the order of generation.
            let id = format!("{}-é{index}", (index * 7 + 3) % 11);
            samples.push(body.sample(timestamp, &id));
        }
        samples
    })
}

/// Orders and batches in which `count` events may arrive: each at least once, some again.
pub fn delivery(count: usize) -> impl Strategy<Value = Vec<Vec<usize>>> {
    let again = vec(0..count.max(1), 0..=count / 2 + 1);
    let once = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
    (once, again, vec(1usize..6, count * 2 + 2)).prop_map(move |(mut order, again, sizes)| {
        for (place, index) in again.into_iter().enumerate() {
            if index < count {
                order.insert((index * 31 + place * 17) % (order.len() + 1), index);
            }
        }
        let mut batches = Vec::new();
        let mut rest = order.as_slice();
        for size in sizes {
            let (batch, after) = rest.split_at(size.min(rest.len()));
            if !batch.is_empty() {
                batches.push(batch.to_vec());
            }
            rest = after;
        }
        if !rest.is_empty() {
            batches.push(rest.to_vec());
        }
        batches
    })
}

/// A permutation of `0..count`.
pub fn permutation(count: usize) -> impl Strategy<Value = Vec<usize>> {
    Just((0..count).collect::<Vec<_>>()).prop_shuffle()
}

/// The members of an event apart from its identity and time.
#[derive(Clone, Debug)]
struct Body {
    kind: &'static str,
    key: usize,
    other: Option<usize>,
    members: Vec<(&'static str, Option<String>)>,
    deep: Option<String>,
    spaced: bool,
}

impl Body {
    fn sample(&self, timestamp: u64, id: &str) -> Sample {
        let key = KEYS[self.key];
        let mut keys = vec![key];
        let mut members = vec![
            ("id", Some(Value::from(id).to_string())),
            ("type", Some(Value::from(self.kind).to_string())),
            ("timestamp", Some(timestamp.to_string())),
        ];
        members.extend(self.members.iter().cloned());
        let deep = self.deep.as_ref().map_or("1".to_owned(), |deep| format!("{{\"dot.ted\":[{deep}]}}"));
        match self.kind {
            "c" => {
                members.push(("body", Some(format!("{{\"k\":{},\"deep\":{deep}}}", escaped(key)))));
            }
            kind => {
                members.push(("k", Some(Value::from(key).to_string())));
                members.push(("body", self.deep.as_ref().map(|_| format!("{{\"deep\":{deep}}}"))));
                if let Some(other) = self.other.filter(|_| kind == "b") {
                    members.push(("other", Some(format!("{{\"k\":{}}}", Value::from(KEYS[other])))));
                    keys.push(KEYS[other]);
                }
            }
        }
        keys.dedup();
        let (colon, comma) = if self.spaced { (" : ", " ,\n\t") } else { (":", ",") };
        let members: Vec<String> = members
            .into_iter()
            .filter_map(|(name, json)| json.map(|json| format!("{}{colon}{json}", Value::from(name))))
            .collect();
        Sample { text: format!("{{{}}}", members.join(comma)), keys, position: Position::new(timestamp, id) }
    }
}

fn body() -> impl Strategy<Value = Body> {
    let kind = select(&["a", "b", "c"][..]);
    let other = proptest::option::of(0..KEYS.len());
    let members =
        (absent_at_times(value()), absent_at_times(number_or_odd()), absent_at_times(flag()), absent_at_times(items()));
    (kind, 0..KEYS.len(), other, members, absent_at_times(value()), any::<bool>()).prop_map(
        |(kind, key, other, (v, n, flag, items), deep, spaced)| Body {
            kind,
            key,
            other,
            members: vec![("v", v), ("n", n), ("flag", flag), ("items", items)],
            deep,
            spaced,
        },
    )
}

fn absent_at_times(json: impl Strategy<Value = String>) -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.85, json)
}

/// Any JSON value, small ones often so that values repeat.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => number(),
        3 => string(),
        1 => select(&["null", "true", "false", "[]", "{}", "\"\""][..]).prop_map(str::to_owned),
        1 => vec(prop_oneof![number(), string()], 0..3).prop_map(|elements| format!("[ {} ]", elements.join(", "))),
        1 => (number(), string()).prop_map(|(n, s)| format!("{{\"z\":{n},\"a\" : {{\"\\u0062\":{s}}}}}")),
    ]
}

fn number_or_odd() -> impl Strategy<Value = String> {
    prop_oneof![8 => number(), 1 => value()]
}

fn flag() -> impl Strategy<Value = String> {
    select(&["true", "true", "false", "null", "1", "\"true\""][..]).prop_map(str::to_owned)
}

fn items() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(0..4, 0..4).prop_map(|items| format!("{items:?}")),
        1 => select(&["[2.0]", "{\"2\":2}", "2", "null", "[\"2\",null]"][..]).prop_map(str::to_owned),
    ]
}

/// JSON numbers in several spellings, with at most 9 digits before and 6 after the point.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-3i64..15).prop_map(|n| n.to_string()),
        2 => (-999_999_999i64..1_000_000_000).prop_map(|n| n.to_string()),
        2 => (any::<bool>(), 0..1_000_000_000u32, 0..1_000_000u32)
            .prop_map(|(minus, whole, millionths)| format!("{}{whole}.{millionths:06}", if minus { "-" } else { "" })),
        1 => (-999i64..1000, -4..4).prop_map(|(mantissa, exponent)| format!("{mantissa}e{exponent}")),
        1 => select(&["-0", "0.0", "1E2", "1e+2", "100", "100.00", "1.5", "15e-1", "-0.0"][..]).prop_map(str::to_owned),
    ]
}

/// JSON strings, plain and escaped.
fn string() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        3 => select(&["x", "y", "10", "é", "", "A"][..]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => vec(select(&['"', '\\', '/', '\n', '\u{1}', '\u{7f}', '🙂', '\u{2028}', 'e', '\u{301}'][..]), 0..5)
            .prop_map(String::from_iter),
    ];
    (text, any::<bool>()).prop_map(|(text, escape)| if escape { escaped(&text) } else { Value::from(text).to_string() })
}

/// A JSON string with every character as `\u….`.
#[must_use]
pub fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}
