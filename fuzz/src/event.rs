//! Any bytes as an event: what is one, what is none, and what is made of it.

use std::sync::LazyLock;

use millpond_core::json::Json;
use millpond_core::process::consumer::{Read, read, same_body};
use millpond_core::{Event, Join, Reason, State};
use millpond_testkit::events::ALL_FOLDS;

use crate::NOW;
use crate::json::{Facts, brackets};

/// How deep an event may nest.
const DEPTH_MAX: usize = 32;

/// Paths through each other, into arrays, of odd names, and conditions that go deep.
const PATHS: &str = r#"
name = "paths"
[key]
a = ["k", "body.k", "body.list.0", "body.list.1.k"]
b = 'body."odd.name"'
c = "id"
[view]
body   = { latest = "body" }
inner  = { latest = "body.list" }
first  = { set = "body.list.0", max = 2 }
third  = { list = "body.list.2.0", last = 2 }
odd    = { max = 'body."odd.name"' }
member = { min = 'detail."x y"' }
data   = { latest = "data" }
some   = { sum = "n", where = "event.body.list.exists(i, event.k == i.k) || has(event.n)" }
deep   = { count = "a", where = "event.body.list.map(i, i.n).exists(n, n > 1.5)" }
"#;

static JOINS: LazyLock<[Join; 2]> =
    LazyLock::new(|| [ALL_FOLDS, PATHS].map(|text| Join::parse(text).expect("the definition is right")));

/// An event is what serde_json takes, apart from what the core refuses on purpose; reading it again
/// gives the same; its documents are JSON.
pub fn run(bytes: &[u8]) {
    for join in &*JOINS {
        agrees_about_syntax(join, bytes);
        if let Ok(Read::Joins(..)) = read(join, bytes, NOW) {
            folds(join, bytes);
        }
    }
}

fn agrees_about_syntax(join: &Join, bytes: &[u8]) {
    let facts: Option<Facts> = serde_json::from_slice(bytes).ok();
    let reason = Event::read(join, bytes).err().map(|rejection| rejection.reason);
    let text = std::str::from_utf8(bytes);
    match reason {
        Some(Reason::TooLarge) => {}
        Some(Reason::InvalidUtf8) => assert!(text.is_err()),
        Some(Reason::InvalidJson) => assert!(facts.is_none(), "serde_json takes it"),
        // The first fault is told, and there may be others behind it.
        Some(Reason::TooDeep) => assert!(text.is_ok_and(|text| brackets(text) > DEPTH_MAX)),
        Some(Reason::DuplicateMember) => assert!(facts.is_none_or(|facts| facts.has_duplicate)),
        Some(Reason::NotAnObject) => assert!(facts.is_some_and(|facts| !facts.is_object)),
        None | Some(Reason::InvalidId | Reason::InvalidType | Reason::InvalidTimestamp) => {
            let sound = |facts: Facts| facts.is_object && !facts.has_duplicate && facts.depth <= DEPTH_MAX;
            assert!(facts.is_some_and(sound), "taken, or refused for another reason: {reason:?}, {facts:?}");
        }
        Some(other) => panic!("reading alone never finds {other}"),
    }
}

fn folds(join: &Join, bytes: &[u8]) {
    let (Ok(Read::Joins(event, kind, keys)), Ok(Read::Joins(again, kind_again, keys_again))) =
        (read(join, bytes, NOW), read(join, bytes, NOW))
    else {
        panic!("it was read before")
    };
    assert_eq!((event.position(), kind, &keys), (again.position(), kind_again, &keys_again));
    assert!(!keys.is_empty() && keys.iter().all(|key| !key.is_empty() && !key.contains('\0')));
    canonical(event.text);
    let form = event.normal_form();
    assert_eq!((&form["id"], &form["type"]), (&event.id.as_ref().into(), &event.kind.as_ref().into()));
    let mut state = State::empty(join);
    let gaps = state.fold(join, kind, &event);
    let mut other = State::empty(join);
    assert_eq!(other.fold(join, kind_again, &again), gaps);
    assert_eq!(state, other);
    assert_eq!(State::from_bytes(join, &state.to_bytes()).as_ref(), Ok(&state));
    for key in &keys {
        let document = state.document(join, key);
        let value: serde_json::Value = serde_json::from_str(&document).expect("a document is JSON");
        assert_eq!(value["id"], key.as_ref());
        canonical(&document);
    }
}

fn canonical(text: &str) {
    let form = Json::canonical(text);
    assert_eq!(Json::canonical(form.as_str()), form);
    serde_json::from_str::<Facts>(form.as_str()).expect("a canonical form is JSON");
    assert!(same_body(text, form.as_str()));
}
