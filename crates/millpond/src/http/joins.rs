//! Joins: what is served, adding, changing, checking and removing definitions.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use millpond_client::wire;
use millpond_core::Join;
use millpond_store::{KeyDifference, Store};

use super::body::collect;
use super::join_info::info;
use super::problem::Problem;
use super::query::Query;
use super::target::{Name, OfJoin};
use super::{App, content_type, json};
use crate::service::samples::{EVERY, Sample};
use crate::service::{Hosted, Refused};

/// Content types of definitions.
pub(super) const DEFINITION_TYPES: [&str; 2] = ["application/toml", "text/plain"];
/// Differences that an answer shows; more say nothing new.
const SHOWN_MAX: usize = 1_000;

/// `GET /v1/joins`.
pub(super) async fn list(State(app): App) -> Result<Response, Problem> {
    let joins = app.joins().await?.into_iter().map(|(name, join)| place_info(name, &join)).collect();
    json(&wire::JoinList { joins })
}

/// `GET /v1/joins/{join}`.
pub(super) async fn one(State(app): App, Name(name): Name) -> Result<Response, Problem> {
    let place = app.joins().await?.into_iter().find(|(known, _)| *known == name);
    let (name, join) = place.ok_or(Refused::NoJoin { name })?;
    json(&place_info(name, &join))
}

fn place_info(name: String, join: &Result<Arc<Hosted>, Refused>) -> wire::JoinInfo {
    let state = match join {
        Ok(join) => return info(join.join()),
        Err(Refused::Rebuilding { .. }) => wire::JoinState::Rebuilding,
        Err(_) => wire::JoinState::Stopped,
    };
    // What it was made of is known again when it serves.
    wire::JoinInfo {
        name,
        state,
        fingerprint: String::new(),
        lateness_ms: 0,
        snapshot_every: 0,
        types: Vec::new(),
        keys: Vec::new(),
        fields: Vec::new(),
        definition: String::new(),
    }
}

/// `GET /v1/joins/{join}/stats`.
pub(super) async fn stats(State(app): App, OfJoin(join): OfJoin) -> Result<Response, Problem> {
    let read = |store: &Store| Ok((store.counters(), store.activity(), store.disk_bytes()));
    let (counters, activity, disk_bytes) = join.run(read).await?;
    json(&wire::Stats {
        join: join.name().to_owned(),
        at: (app.clock)(),
        received: counters.received,
        accepted: counters.accepted,
        duplicate: counters.duplicate,
        late: counters.late,
        quarantined: counters.quarantined,
        ignored: counters.ignored,
        conflicts: counters.conflicts,
        keys: counters.keys,
        snapshots: counters.snapshots,
        trimmed: counters.trimmed,
        divergence: counters.divergence,
        fast: activity.fast,
        looked_up: activity.looked_up,
        newest_at: activity.newest_at,
        disk_bytes,
        ignored_types: counters.ignored_types,
        gaps: counters.gaps,
    })
}

/// `GET /v1/joins/{join}/samples`.
pub(super) async fn samples(OfJoin(join): OfJoin, query: Query) -> Result<Response, Problem> {
    let samples = join.samples(query.time("after"));
    let column = |value: fn(&Sample) -> u64| samples.iter().map(value).collect::<Vec<u64>>();
    json(&wire::Samples {
        every_ms: EVERY.as_millis() as u64,
        at: column(|sample| sample.at),
        received: column(|sample| sample.received),
        accepted: column(|sample| sample.accepted),
        duplicate: column(|sample| sample.duplicate),
        late: column(|sample| sample.late),
        quarantined: column(|sample| sample.quarantined),
        ignored: column(|sample| sample.ignored),
        keys: column(|sample| sample.keys),
        snapshots: column(|sample| sample.snapshots),
        trimmed: column(|sample| sample.trimmed),
        fast: column(|sample| sample.fast),
        looked_up: column(|sample| sample.looked_up),
        disk_bytes: column(|sample| sample.disk_bytes),
        newest_at: samples.iter().map(|sample| sample.newest_at).collect(),
    })
}

/// `POST /v1/check`.
pub(super) async fn check(State(app): App, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    json(&info(&definition(&app, &headers, body).await?))
}

/// `PUT /v1/joins/{join}`.
pub(super) async fn put(
    State(app): App,
    Name(name): Name,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let join = definition(&app, &headers, body).await?;
    if join.name() != name {
        let detail =
            format!("the definition's name is `{0}`; put it to /v1/joins/{0}, or change its name", join.name());
        return Err(Problem::bad_request(detail));
    }
    let (rebuild, drop_unnamed) = (query.flag("rebuild"), query.flag("drop_unnamed"));
    let service = Arc::clone(&app.service);
    let put = blocking(move || service.put(join, rebuild, drop_unnamed)).await?;
    let rebuilt = put.rebuilt.map(|done| wire::Rebuilt {
        rows: done.rows,
        accepted: done.accepted,
        ignored: done.ignored,
        quarantined: done.quarantined,
    });
    let answer = json(&wire::JoinPut { name, created: put.created, rebuilt })?;
    Ok(if put.created { (StatusCode::CREATED, answer).into_response() } else { answer })
}

async fn definition(app: &super::State, headers: &HeaderMap, body: Body) -> Result<Join, Problem> {
    content_type(headers, &DEFINITION_TYPES)?;
    let received = collect(body, &app.limits, &app.budget).await?;
    let text = std::str::from_utf8(&received.bytes)
        .map_err(|error| Problem::bad_request(format!("the definition is not UTF-8: {error}; send it as UTF-8")))?;
    Join::parse(text).map_err(|faults| Problem::faults(&faults))
}

/// `DELETE /v1/joins/{join}`.
pub(super) async fn remove(State(app): App, Name(name): Name, query: Query) -> Result<Response, Problem> {
    let data_too = query.text("data") == Some("delete");
    let service = Arc::clone(&app.service);
    blocking(move || service.remove(&name, data_too)).await?;
    json(&wire::Done { done: 1 })
}

pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Refused> + Send + 'static,
) -> Result<R, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::internal(format!("a thread of the server panicked: {error}; report it")))?
        .map_err(Problem::from)
}

/// `POST /v1/joins/{join}/verify`.
pub(super) async fn verify(OfJoin(join): OfJoin) -> Result<Response, Problem> {
    let read = |store: &Store| {
        let mut shown = Vec::new();
        let found = |KeyDifference { key, difference }: KeyDifference| {
            if shown.len() < SHOWN_MAX {
                let millpond_core::verify::Difference { what, stored, refolded } = difference;
                shown.push(wire::Difference { key, what, stored, refolded });
            }
        };
        let done = store.verify(found, |_| {})?;
        Ok((done, shown))
    };
    let (done, shown) = join.run(read).await?;
    json(&wire::Verified { keys: done.keys, events: done.rows, differences: done.differences, shown })
}
