//! `GET /metrics`: what requests cost, and what the joins counted, in the OpenMetrics text form.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{MatchedPath, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millpond_store::{Activity, Counters, Store};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::App;
use super::problem::Problem;
use crate::service::Hosted;

/// What is counted of requests. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram>,
    in_progress: Gauge,
    streams: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfJoin {
    join: String,
}

impl Default for Metrics {
    fn default() -> Self {
        // 0.25 ms to 8 s.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.00025, 2.0, 16));
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            in_progress: Gauge::default(),
            streams: Gauge::default(),
        }
    }
}

/// A request that is not answered yet.
pub(super) struct Open {
    metrics: Metrics,
    route: String,
    method: &'static str,
}

/// A stream of changes; counted until dropped.
pub(super) struct OpenStream(Gauge);

impl Metrics {
    /// A request begins. What others make up is not counted apart: it would be without end.
    pub(super) fn request(&self, method: &Method, path: Option<&MatchedPath>) -> Open {
        const METHODS: [Method; 6] =
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
        const NAMES: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
        let method = METHODS.iter().position(|known| known == method).map_or("other", |known| NAMES[known]);
        self.in_progress.inc();
        Open { metrics: self.clone(), route: path.map_or("none", MatchedPath::as_str).to_owned(), method }
    }

    pub(super) fn stream(&self) -> OpenStream {
        self.streams.inc();
        OpenStream(self.streams.clone())
    }
}

impl Open {
    pub(super) fn answered(self, status: StatusCode, took: Duration) {
        let (route, method) = (self.route.clone(), self.method);
        self.metrics.seconds.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.metrics.requests.get_or_create(&Answered { route, method, status: status.as_u16() }).inc();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.in_progress.dec();
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// `GET /metrics`.
pub(super) async fn scrape(State(app): App) -> Result<Response, Problem> {
    let read = move || {
        let mut registry = Registry::default();
        app.metrics.register(&mut registry);
        let held: Gauge = Gauge::default();
        held.set(app.budget.held() as i64);
        registry.register("millpond_http_body_bytes", "Bytes of request bodies that are held", held);
        joins(&mut registry, &app.service.joins());
        let mut text = String::new();
        encode(&mut text, &registry).map(|()| text)
    };
    let failed = |error: &dyn std::fmt::Display| Problem::internal(format!("the metrics cannot be written: {error}"));
    let text = tokio::task::spawn_blocking(read).await.map_err(|error| failed(&error))?;
    let text = text.map_err(|error| failed(&error))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        let Self { requests, seconds, in_progress, streams } = self;
        registry.register("millpond_http_requests", "Requests answered", requests.clone());
        registry.register("millpond_http_request_seconds", "Time to the answer's head", seconds.clone());
        registry.register("millpond_http_requests_in_progress", "Requests without an answer yet", in_progress.clone());
        registry.register("millpond_change_streams", "Open streams of changes", streams.clone());
    }
}

type Joins = [(String, Result<Arc<Hosted>, crate::service::Refused>)];

fn joins(registry: &mut Registry, joins: &Joins) {
    let up = Family::<OfJoin, Gauge>::default();
    let mut read = Vec::new();
    for (name, join) in joins {
        let of = OfJoin { join: name.clone() };
        let known = join.as_ref().ok().and_then(|join| {
            let (of, hosted) = (of.clone(), Arc::clone(join));
            let read = |store: &Store| {
                let (counters, activity, disk_bytes) = (store.counters(), store.activity(), store.disk_bytes());
                Ok(Counted { of, hosted, counters, activity, disk_bytes })
            };
            join.with(read).ok()
        });
        up.get_or_create(&of).set(i64::from(known.is_some()));
        read.extend(known);
    }
    registry.register("millpond_join_up", "Whether the join takes events and answers", up);
    type Count = (&'static str, &'static str, fn(&Counters) -> u64);
    let counters: [Count; 7] = [
        ("millpond_events_received", "Events received, one a key they join", |counters| counters.received),
        ("millpond_events_accepted", "Events stored and folded", |counters| counters.accepted),
        ("millpond_events_duplicate", "Events known already", |counters| counters.duplicate),
        ("millpond_events_ignored", "Events of types that the join does not name", |counters| counters.ignored),
        ("millpond_snapshots", "Snapshots made", |counters| counters.snapshots),
        ("millpond_rows_trimmed", "Rows trimmed", |counters| counters.trimmed),
        ("millpond_divergence", "Snapshots that were not the stored state; must stay 0", |counters| {
            counters.divergence
        }),
    ];
    for (name, help, value) in counters {
        let family = Family::<OfJoin, Counter>::default();
        for Counted { of, counters, .. } in &read {
            family.get_or_create(of).inc_by(value(counters));
        }
        registry.register(name, help, family);
    }
    gauges(registry, &read);
    activity(registry, &read);
    commits(registry, &read);
}

/// What a join that answers has counted.
struct Counted {
    of: OfJoin,
    hosted: Arc<Hosted>,
    counters: Counters,
    activity: Activity,
    disk_bytes: u64,
}

/// What can also become less: accepted late events and joined ones of the quarantine count as accepted.
fn gauges(registry: &mut Registry, read: &[Counted]) {
    type Value = (&'static str, &'static str, fn(&Counters, u64) -> u64);
    let gauges: [Value; 5] = [
        ("millpond_events_late", "Events put into the late queue, and not accepted since", |counters, _| counters.late),
        ("millpond_events_quarantined", "Events put into quarantine, and not joined since", |counters, _| {
            counters.quarantined
        }),
        ("millpond_conflicts", "Of those in quarantine, with the identity of another", |counters, _| {
            counters.conflicts
        }),
        ("millpond_keys", "Keys with a view", |counters, _| counters.keys),
        ("millpond_disk_bytes", "Bytes on disk", |_, disk_bytes| disk_bytes),
    ];
    for (name, help, value) in gauges {
        let family = Family::<OfJoin, Gauge>::default();
        for Counted { of, counters, disk_bytes, .. } in read {
            family.get_or_create(of).set(value(counters, *disk_bytes) as i64);
        }
        registry.register(name, help, family);
    }
}

/// How much work events were, and how new they are, since the join was opened.
fn activity(registry: &mut Registry, read: &[Counted]) {
    type Count = (&'static str, &'static str, fn(&Activity) -> u64);
    let counters: [Count; 2] = [
        ("millpond_rows_fast", "Rows folded without a look-up", |activity| activity.fast),
        ("millpond_rows_looked_up", "Rows and repeats that were looked up", |activity| activity.looked_up),
    ];
    for (name, help, value) in counters {
        let family = Family::<OfJoin, Counter>::default();
        for Counted { of, activity, .. } in read {
            family.get_or_create(of).inc_by(value(activity));
        }
        registry.register(name, help, family);
    }
    let newest = Family::<OfJoin, Gauge<f64, AtomicU64>>::default();
    for Counted { of, activity, .. } in read {
        if let Some(at) = activity.newest_at {
            newest.get_or_create(of).set(at as f64 / 1000.0);
        }
    }
    registry.register("millpond_newest_event_timestamp_seconds", "The highest timestamp of an accepted event", newest);
}

/// How requests share commits, since the server started.
fn commits(registry: &mut Registry, read: &[Counted]) {
    type Count = fn(&Hosted) -> &AtomicU64;
    let counters: [(&str, &str, Count); 3] = [
        ("millpond_commits", "Commits of requests' events", |join| &join.commit_counts().commits),
        ("millpond_commit_requests", "Requests in these commits", |join| &join.commit_counts().requests),
        ("millpond_commit_events", "Events in these commits", |join| &join.commit_counts().events),
    ];
    for (name, help, count) in counters {
        let family = Family::<OfJoin, Counter>::default();
        for Counted { of, hosted, .. } in read {
            family.get_or_create(of).inc_by(count(hosted).load(Ordering::Relaxed));
        }
        registry.register(name, help, family);
    }
}
