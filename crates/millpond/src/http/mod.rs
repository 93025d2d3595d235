//! HTTP: routes, bodies and answers. [`routes`] is the one table of what there is: the router, the
//! scopes and the OpenAPI document are made from it.

mod body;
mod changes;
mod cloudevents;
mod duplicates;
mod events;
mod filter;
mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod join_info;
mod joins;
mod late;
mod layers;
mod list;
mod metrics;
mod openapi;
mod page;
mod pages;
mod preview;
mod problem;
mod quarantine;
mod query;
mod route;
mod routes;
mod tag;
mod tails;
mod taken;
mod target;
#[cfg(test)]
mod tests;
mod upkeep;
mod views;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::access::{Access, guard};
use crate::service::{Clock, Hosted, Refused, Service};
use body::Budget;
pub(crate) use filter::Filter;
pub(crate) use join_info::info;
use metrics::Metrics;
pub(crate) use page::Page;
pub(crate) use problem::{Problem, Word};
pub(crate) use quarantine::listed;
pub(crate) use views::field as explained_field;

/// What requests may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Of one body.
    pub(crate) body_bytes_max: usize,
    /// Of one request.
    pub(crate) events_max: usize,
    /// Of the bodies of all requests in progress.
    pub(crate) inflight_bytes_max: usize,
}

/// Which names the server answers to while there are no tokens.
#[derive(Clone, Debug)]
pub(crate) enum Hosts {
    /// Whatever it is called.
    Any,
    /// These, on any port.
    Only(Vec<String>),
}

impl Hosts {
    /// The names of this machine to itself, and the address that is listened on.
    pub(crate) fn loopback(address: SocketAddr) -> Self {
        let mut names = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
        let own = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        if !names.contains(&own) {
            names.push(own);
        }
        Self::Only(names)
    }
}

/// What all requests share.
pub(crate) struct State {
    pub(crate) service: Arc<Service>,
    pub(crate) access: Arc<Access>,
    pub(crate) clock: Clock,
    pub(crate) stopping: watch::Receiver<bool>,
    limits: Limits,
    hosts: Hosts,
    page: Page,
    previews: preview::Turns,
    budget: Budget,
    metrics: Metrics,
}

type App = axum::extract::State<Arc<State>>;

impl State {
    pub(crate) fn new(
        service: Arc<Service>,
        access: Arc<Access>,
        limits: Limits,
        hosts: Hosts,
        page: Page,
        clock: Clock,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let (budget, metrics) = (Budget::new(limits.inflight_bytes_max), Metrics::default());
        Arc::new(Self {
            service,
            access,
            clock,
            stopping,
            limits,
            hosts,
            page,
            previews: Default::default(),
            budget,
            metrics,
        })
    }

    /// All joins by name, and why some do not answer.
    async fn joins(&self) -> Result<Vec<(String, Result<Arc<Hosted>, Refused>)>, Problem> {
        let service = Arc::clone(&self.service);
        joins::blocking(move || Ok(service.joins())).await
    }
}

/// All routes, and what is said where there is none.
pub(crate) fn router(state: Arc<State>) -> Router {
    let mut router = Router::new();
    for route in routes::table() {
        let mut methods = route.methods().route_layer(from_fn_with_state(route.params, query::read));
        if let Some(scope) = route.scope {
            methods = methods.route_layer(from_fn_with_state((Arc::clone(&state.access), scope), guard));
        }
        router = router.route(route.path, methods);
    }
    router
        .fallback(layers::no_route)
        .method_not_allowed_fallback(layers::no_method)
        .layer(from_fn_with_state(Arc::clone(&state), layers::check_host))
        .layer(from_fn(layers::catch_panic))
        .layer(from_fn_with_state(Arc::clone(&state), layers::count))
        .with_state(state)
}

fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let text =
        serde_json::to_vec(value).map_err(|error| Problem::internal(format!("an answer is no JSON: {error}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// A stored JSON text as it is.
fn raw(text: String) -> Result<Box<RawValue>, Problem> {
    RawValue::from_string(text).map_err(|error| Problem::internal(format!("a stored event is no JSON: {error}")))
}

/// Whether a body is of a type that is read, and not encoded.
fn content_type(headers: &HeaderMap, expected: &[&str]) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let kind = found.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let encoded = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if expected.contains(&kind.as_str()) && !encoded {
        return Ok(());
    }
    let (found, expected) = (if encoded { "an encoded body" } else { kind.as_str() }, expected.join(" or "));
    let found = if found.is_empty() { "no Content-Type" } else { found };
    Err(Problem::new(Word::UnsupportedMediaType, format!("found {found}; send {expected}, not encoded")))
}
