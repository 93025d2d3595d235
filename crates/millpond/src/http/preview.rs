//! `POST /v1/preview`: what a definition would make of some events. Joined by the core's own processes, over its
//! memory store, which is gone with the answer.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::FutureExt;
use millpond_client::wire::{self, Preview, PreviewedEvent, PreviewedView, Status};
use millpond_core::memory::MemoryStore;
use millpond_core::process::consumer::{self, Boundary, Outcome, Read, consume};
use millpond_core::process::trigger::trigger;
use millpond_core::store::{Row, Store as _};
use millpond_core::{Join, TypeIndex};
use tokio::sync::Semaphore;

use super::body::collect;
use super::framing::{self, Fault, Form};
use super::join_info::info;
use super::problem::{Problem, Word};
use super::{App, Limits, content_type, json, raw};

/// Of the request's body, definition and events together.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Events of one preview.
const EVENTS_MAX: usize = 1_000;
/// Views of one preview.
const VIEWS_MAX: usize = 1_000;
/// What all fields of all views may take in: an event's bytes count once for each key it joins and field
/// that folds it. Bounds what the states can hold.
const FOLDED_BYTES_MAX: usize = 16 << 20;
/// All documents of a preview: a definition's defaults are in each of them.
const DOCUMENTS_BYTES_MAX: usize = 16 << 20;
/// Previews that are made at once: each has a thread and holds its states.
const AT_ONCE: usize = 4;

/// How many previews may begin.
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// The handler.
pub(super) async fn preview(State(app): App, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    const EXPECTED: &str = "expected {\"definition\":\"TOML\",\"events\":\"events, one a line, or an array of them\"}";
    content_type(&headers, &["application/json"])?;
    let limits = Limits { body_bytes_max: app.limits.body_bytes_max.min(BODY_BYTES_MAX), ..app.limits };
    let received = collect(body, &limits, &app.budget).await?;
    let turn = Arc::clone(&app.previews.0).try_acquire_owned().map_err(|_| {
        Problem::new(Word::TooMany, format!("{AT_ONCE} previews are being made; ask for this one again in a second"))
    })?;
    let now = (app.clock)();
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let asked: wire::PreviewAsked = serde_json::from_slice(&received.bytes)
            .map_err(|error| Problem::bad_request(format!("the body asks for no preview: {error}; {EXPECTED}")))?;
        let join = Join::parse(&asked.definition).map_err(|faults| Problem::faults(&faults))?;
        let events = places(&asked.events)?;
        json(&made(&join, events.into_iter().map(|place| &asked.events.as_bytes()[place]), now)?)
    });
    made.await.map_err(|error| Problem::internal(format!("a preview panicked: {error}; report it")))?
}

/// Where the events are: an array, one object over several lines, or an event a line.
fn places(text: &str) -> Result<Vec<Range<usize>>, Problem> {
    let bytes = text.as_bytes();
    let form = match bytes.trim_ascii_start().first() {
        Some(b'[') => Form::Json,
        Some(b'{') if framing::events(Form::One, bytes, EVENTS_MAX).is_ok() => Form::One,
        _ => Form::Lines,
    };
    framing::events(form, bytes, EVENTS_MAX).map_err(|fault| match fault {
        Fault::Broken(what) => Problem::bad_request(format!("`events` {what}")),
        Fault::TooMany => too_large(format!("more than {EVENTS_MAX} events")),
    })
}

fn too_large(what: String) -> Problem {
    Problem::new(Word::TooLarge, format!("{what} in one preview; give fewer, or make the join and send them there"))
}

fn made<'e>(join: &Join, events: impl Iterator<Item = &'e [u8]>, now: u64) -> Result<Preview, Problem> {
    let store = MemoryStore::default();
    let mut preview = empty(join);
    let mut rows: BTreeMap<Box<str>, Vec<Row>> = BTreeMap::new();
    let mut folded_bytes = 0;
    for event in events {
        let (keys, fields) = joined(join, event, now);
        folded_bytes += event.len() * keys.len() * fields;
        if folded_bytes > FOLDED_BYTES_MAX {
            return Err(too_large(format!("the fields would take in more than {FOLDED_BYTES_MAX} bytes")));
        }
        let outcomes = ready(consume(&store, join, event, now, Boundary::Snapshot))?;
        let mut told = PreviewedEvent { status: Status::Ignored, reason: None, detail: None, keys };
        for outcome in outcomes {
            tell(&mut told, &outcome);
            count(&mut preview, &outcome);
            if let Outcome::Accepted { key, row } = outcome {
                rows.entry(key).or_default().push(row);
            }
        }
        preview.events.push(told);
        if rows.len() > VIEWS_MAX {
            return Err(too_large(format!("more than {VIEWS_MAX} views")));
        }
    }
    let mut documents_bytes = 0;
    for (key, new) in rows {
        ready(trigger(&store, join, &key, &new))?;
        let view = ready(store.view(&key))?;
        if let Some(view) = view {
            let document = view.state.document(join, &key);
            documents_bytes += document.len();
            if documents_bytes > DOCUMENTS_BYTES_MAX {
                return Err(too_large(format!("the views would be more than {DOCUMENTS_BYTES_MAX} bytes")));
            }
            let document = raw(document)?;
            preview.views.push(PreviewedView { key: key.into(), document });
        }
    }
    Ok(preview)
}

fn empty(join: &Join) -> Preview {
    Preview {
        join: info(join),
        received: 0,
        accepted: 0,
        duplicate: 0,
        late: 0,
        quarantined: 0,
        ignored: 0,
        events: Vec::new(),
        views: Vec::new(),
    }
}

/// The keys that an event joins, and how many fields fold it.
fn joined(join: &Join, event: &[u8], now: u64) -> (Vec<String>, usize) {
    let folding = |kind: TypeIndex| join.fields().iter().filter(|field| field.of.contains(&kind)).count();
    match consumer::read(join, event, now) {
        Ok(Read::Joins(_, kind, keys)) => (keys.iter().map(ToString::to_string).collect(), folding(kind)),
        Ok(Read::Ignored(_)) | Err(_) => (Vec::new(), 0),
    }
}

/// The gravest of an event's placements counts.
fn tell(told: &mut PreviewedEvent, outcome: &Outcome) {
    told.status = told.status.max(status(outcome));
    if let Outcome::Quarantined(rejection) = outcome {
        told.reason = Some(rejection.reason.to_string());
        told.detail = Some(rejection.detail.clone());
    }
}

fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Accepted { .. } => Status::Accepted,
        Outcome::Duplicate => Status::Duplicate,
        Outcome::Late => Status::Late,
        Outcome::Quarantined(_) => Status::Quarantined,
        Outcome::Ignored => Status::Ignored,
    }
}

fn count(preview: &mut Preview, outcome: &Outcome) {
    preview.received += 1;
    *match status(outcome) {
        Status::Accepted => &mut preview.accepted,
        Status::Duplicate => &mut preview.duplicate,
        Status::Late => &mut preview.late,
        Status::Quarantined => &mut preview.quarantined,
        Status::Ignored => &mut preview.ignored,
    } += 1;
}

/// What the memory store gives at once.
fn ready<R, E: std::fmt::Display>(work: impl Future<Output = Result<R, E>>) -> Result<R, Problem> {
    let done = work.now_or_never().expect("the memory store waits for nobody");
    done.map_err(|error| Problem::internal(format!("a preview failed: {error}; report it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        places(text).unwrap().into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn events_are_found_however_they_are_pasted() {
        assert!(found("").is_empty() && found(" \n").is_empty() && found("[]").is_empty());
        assert_eq!(found("{\"a\":1}\n{\"b\":2}\n"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(found(" [ {\"a\":1},\n {\"b\":2} ]\n"), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(found("{\n  \"a\": 1\n}\n"), ["{\n  \"a\": 1\n}"]);
        assert_eq!(found("{\"a\":1}\nno event\n"), ["{\"a\":1}", "no event"]);
        let cut = places("[{\"a\":1},").unwrap_err();
        assert!(cut.detail().starts_with("`events` is not JSON: "), "{}", cut.detail());
    }

    #[test]
    fn a_preview_holds_no_more_than_it_may() {
        let fields: String = (0..60).map(|n| format!("f{n} = {{ list = \"v\", of = \"e\", last = 1000 }}\n")).collect();
        let join = Join::parse(&format!("name = \"j\"\n[key]\ne = [\"k\", \"l\"]\n[view]\n{fields}")).unwrap();
        let event = |n: usize, key: &str| {
            let value = "v".repeat(1_000);
            format!(r#"{{"id":"{n}","type":"e","timestamp":1,"k":"{key}","l":"l","v":"{value}"}}"#)
        };
        let events: Vec<String> = (0..200).map(|n| event(n, "k")).collect();
        let refused = made(&join, events.iter().map(String::as_bytes), 1).unwrap_err();
        assert!(refused.word() == Word::TooLarge && refused.detail().contains("take in"), "{refused:?}");
        assert_eq!(made(&join, events.iter().take(100).map(String::as_bytes), 1).unwrap().views.len(), 2);
        let few = Join::parse("name = \"j\"\n[key]\ne = \"k\"\n[view]\nn = { count = \"e\" }\n").unwrap();
        let many: Vec<String> = (0..=VIEWS_MAX).map(|n| event(n, &format!("k{n}"))).collect();
        let refused = made(&few, many.iter().map(String::as_bytes), 1).unwrap_err();
        assert!(refused.detail().contains("more than 1000 views"), "{refused:?}");
        let default = "d".repeat(50_000);
        let text = format!(
            "name = \"j\"\n[key]\ne = \"k\"\n[view]\nn = {{ latest = \"none\", of = \"e\", default = \"{default}\" }}\n"
        );
        let large = Join::parse(&text).unwrap();
        let refused = made(&large, many.iter().take(VIEWS_MAX).map(String::as_bytes), 1).unwrap_err();
        assert!(refused.detail().contains("the views would be more than"), "{refused:?}");
    }
}
