//! The late queue: what waits in it, and decisions about it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use millpond_client::wire;
use millpond_core::Position;
use millpond_store::{Accepted, Error, LateEntry, Store};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::body::collect;
use super::pages::{Page, page};
use super::problem::Problem;
use super::query::Query;
use super::target::OfJoin;
use super::{App, content_type, json, raw};
use crate::service::Hosted;

/// So that a key has no `/` in a place of the queue.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'/').add(b'%');
/// Entries decided about before others get their turn with the store.
const STEP: usize = 64;

/// `GET /v1/late/{join}`.
pub(super) async fn list(OfJoin(join): OfJoin, query: Query) -> Result<Response, Problem> {
    let (key, limit) = (query.text("key").map(str::to_owned), query.limit());
    let after = query.late_place("after");
    let Page { entries, more } = join.run(move |store| read(store, key.as_deref(), after, limit)).await?;
    let next = entries.last().filter(|_| more).map(place);
    let late = entries.into_iter().map(|LateEntry { key, event }| {
        Ok(wire::LateEntry {
            key,
            position: event.row.position.to_string(),
            received_at: event.row.put_at,
            closed_through: event.closed.to_string(),
            event: raw(event.row.body.into())?,
        })
    });
    json(&wire::LatePage { late: late.collect::<Result<_, Problem>>()?, next })
}

fn read(
    store: &Store,
    key: Option<&str>,
    after: Option<(String, Position)>,
    limit: usize,
) -> Result<Page<LateEntry>, Error> {
    let bytes = |entry: &LateEntry| entry.event.row.body.len();
    page(limit, bytes, |last, wanted| {
        let after = after.as_ref().map(|(key, at)| (key.as_str(), at));
        let last = last.map(|entry| (entry.key.as_str(), &entry.event.row.position));
        store.late_page(key, last.or(after), wanted)
    })
}

fn place(entry: &LateEntry) -> String {
    format!("{}/{}", utf8_percent_encode(&entry.key, ESCAPED), entry.event.row.position)
}

/// `POST /v1/late/{join}/accept`.
pub(super) async fn accept(
    State(app): App,
    OfJoin(join): OfJoin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let now = (app.clock)();
    let act = move |store: &Store, key: &str, at: &Position| Ok(store.accept_late(key, at, now)? == Accepted::Folded);
    decide(&join, chosen(&app, &headers, body).await?, act).await
}

/// `POST /v1/late/{join}/drop`.
pub(super) async fn drop(
    State(app): App,
    OfJoin(join): OfJoin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    decide(&join, chosen(&app, &headers, body).await?, |store, key, at| store.drop_late(key, at)).await
}

/// One entry, those of a key, or all.
struct Chosen {
    key: Option<String>,
    position: Option<Position>,
}

async fn chosen(app: &super::State, headers: &HeaderMap, body: Body) -> Result<Chosen, Problem> {
    const EXPECTED: &str = "expected {\"key\":…,\"position\":\"TIMESTAMP/ID\"} for one event, {\"key\":…} for those of a key, {\"all\":true} for all";
    content_type(headers, &["application/json"])?;
    let received = collect(body, &app.limits, &app.budget).await?;
    let choice: wire::LateChoice = serde_json::from_slice(&received.bytes)
        .map_err(|error| Problem::bad_request(format!("the body is no choice: {error}; {EXPECTED}")))?;
    let position = choice.position.map(|text| text.parse()).transpose().map_err(Problem::bad_request)?;
    match (&choice.key, &position, choice.all) {
        (Some(_), _, false) | (None, None, true) => Ok(Chosen { key: choice.key, position }),
        _ => Err(Problem::bad_request(format!("the body does not say which events are meant; {EXPECTED}"))),
    }
}

async fn decide(
    join: &Arc<Hosted>,
    Chosen { key, position }: Chosen,
    act: impl Fn(&Store, &str, &Position) -> Result<bool, Error> + Copy + Send + 'static,
) -> Result<Response, Problem> {
    let named = key.is_some();
    let done = match (key, position) {
        (Some(key), Some(position)) => u64::from(join.run(move |store| act(store, &key, &position)).await?),
        (key, _) => decide_all(join, key, act).await?,
    };
    if done == 0 && named {
        let detail =
            format!("no such event waits in the late queue; `GET /v1/late/{}` lists those that do", join.name());
        return Err(Problem::not_found(detail));
    }
    json(&wire::Done { done })
}

async fn decide_all(
    join: &Arc<Hosted>,
    key: Option<String>,
    act: impl Fn(&Store, &str, &Position) -> Result<bool, Error> + Copy + Send + 'static,
) -> Result<u64, Problem> {
    let (mut done, mut after) = (0, None);
    loop {
        let (key, from) = (key.clone(), after);
        let step = move |store: &Store| {
            let page = read(store, key.as_deref(), from, STEP)?;
            let mut done = 0;
            for entry in &page.entries {
                done += u64::from(act(store, &entry.key, &entry.event.row.position)?);
            }
            let last = page.entries.into_iter().next_back().filter(|_| page.more);
            Ok((done, last.map(|entry| (entry.key, entry.event.row.position))))
        };
        let (some, last) = join.run(step).await?;
        done += some;
        after = last;
        if after.is_none() {
            return Ok(done);
        }
    }
}
