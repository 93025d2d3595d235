//! `POST /v1/events`: events in, durably, and what became of each.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use millpond_core::process::consumer::{self, Read};
use millpond_core::{Reason, Rejection};

use super::body::collect;
use super::framing::{self, Fault, Form};
use super::problem::{Problem, Word};
use super::target::OfJoin;
use super::{App, cloudevents, taken};
use crate::service::{Hosted, Outcomes, Parcel};

/// To every join that is served.
pub(super) async fn to_all(State(app): App, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let joins = app.service.served();
    if joins.is_empty() {
        let detail = "no join is served yet, so nothing was taken; add one with `PUT /v1/joins/{join}` and send again";
        return Err(Problem::new(Word::Unavailable, detail));
    }
    let joins: Vec<Arc<Hosted>> = joins.into_iter().map(|(_, join)| join).collect::<Result<_, _>>()?;
    take(&app, &joins, &headers, body).await
}

/// To one join.
pub(super) async fn to_one(
    State(app): App,
    OfJoin(join): OfJoin,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    take(&app, &[join], &headers, body).await
}

async fn take(app: &super::State, joins: &[Arc<Hosted>], headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let form = framing::form(headers)?;
    let received = collect(body, &app.limits, &app.budget).await?;
    let bytes = match form {
        Form::Binary => Bytes::from(cloudevents::structured(headers, &received.bytes).map_err(Problem::bad_request)?),
        _ => received.bytes.clone(),
    };
    let events = framing::events(form, &bytes, app.limits.events_max).map_err(|fault| match fault {
        Fault::Broken(what) => Problem::bad_request(format!("the body {what}")),
        Fault::TooMany => {
            let detail = format!("more than {} events in one request; send smaller ones", app.limits.events_max);
            Problem::new(Word::TooLarge, detail)
        }
    })?;
    let parcel = Arc::new(Parcel { bytes, events, broken: Vec::new() });
    let outcomes = match joins {
        _ if parcel.events.is_empty() => vec![Outcomes::new(); joins.len()],
        [join] => vec![join.ingest(Arc::clone(&parcel)).await?],
        joins => {
            let all = join_all(joins.iter().map(|join| join.ingest(Arc::clone(&parcel)))).await;
            all.into_iter().collect::<Result<_, _>>()?
        }
    };
    let of_joins: Vec<taken::OfJoin<'_>> =
        joins.iter().zip(&outcomes).map(|(join, outcomes)| taken::OfJoin { name: join.name(), outcomes }).collect();
    let now = (app.clock)();
    let text = taken::answer(parcel.events.len(), &of_joins, |join, event| {
        let first = outcomes[join].iter().find_map(|(place, outcome)| match outcome {
            millpond_store::Outcome::Quarantined(reason) if *place as usize == event => Some(*reason),
            _ => None,
        });
        rejection(&joins[join], &parcel.bytes[parcel.events[event].clone()], first, now)
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Why an event is in quarantine: the store keeps that with the event and says only the reason.
fn rejection(join: &Hosted, event: &[u8], reason: Option<Reason>, now: u64) -> Rejection {
    match (consumer::read(join.join(), event, now), reason) {
        (Ok(Read::Joins(event, ..)), Some(Reason::Conflict)) => consumer::conflict(event.position()),
        (Err(rejection), _) => rejection,
        // The clock has moved on in between.
        (Ok(_), reason) => {
            let reason = reason.unwrap_or(Reason::Future);
            Rejection::new(reason, "it can be joined by now; retry its entry of the quarantine")
        }
    }
}
