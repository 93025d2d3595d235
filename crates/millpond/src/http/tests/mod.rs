//! What the server promises over HTTP: the real router over a real store, without a socket.

mod bad_requests;
mod bodies;
mod changes;
mod counts;
mod document;
mod events;
mod page;
mod preview;
mod queues;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use millpond_core::Join;
use millpond_store::{DataFolder, Options};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt;

use super::{Hosts, Limits, Page, State, router};
use crate::access::Access;
use crate::service::Service;

/// When events come.
const NOW: u64 = 1_760_000_000_000;
/// The answers' clock is ahead of that, so that what came can be closed.
const LATER: u64 = NOW + 10_000;

const USERS: &str = r#"name = "users"
lateness = "1s"
snapshot_every = 100
[key]
created = "user"
paid = ["user", "payer"]
[view]
name = { latest = "name", of = "created", default = "?" }
total = { sum = "amount", of = "paid" }
"#;

const ORDERS: &str = r#"name = "orders"
lateness = "1s"
[key]
paid = "order"
[view]
payments = { count = "paid" }
"#;

const LIMITS: Limits = Limits { body_bytes_max: 100_000, events_max: 1_000, inflight_bytes_max: 1 << 20 };

/// A server, as those who ask it see it.
struct Pond {
    router: Router,
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    dir: TempDir,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer's value, if all went well.
    fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.json()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("plain"))
    }
}

fn served(definitions: &[&str]) -> Pond {
    served_with(definitions, LIMITS, |_| {})
}

fn served_with(definitions: &[&str], limits: Limits, prepare: impl FnOnce(&TempDir)) -> Pond {
    served_as(definitions, limits, Options::default(), prepare)
}

fn served_as(definitions: &[&str], limits: Limits, options: Options, prepare: impl FnOnce(&TempDir)) -> Pond {
    let dir = tempfile::tempdir().unwrap();
    prepare(&dir);
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    let joins = definitions.iter().map(|text| Join::parse(text).unwrap()).collect();
    let service = Service::open(folder, joins, options, || NOW, None).unwrap();
    let access = Arc::new(Access::open(dir.path()).unwrap());
    let (stop, stopping) = watch::channel(false);
    let hosts = Hosts::loopback("127.0.0.1:7717".parse().unwrap());
    let state = State::new(Arc::clone(&service), access, limits, hosts, Page::new(Some("users")), || LATER, stopping);
    Pond { router: router(state), service, stop, dir }
}

/// A server with a join `users` whose store has failed: its files were taken away.
async fn failed(definitions: &[&str]) -> Pond {
    let options = Options { memtable_bytes: 4_000, durable: false, ..Options::default() };
    let pond = served_as(definitions, LIMITS, options, |_| {});
    std::fs::remove_dir_all(pond.dir.path().join("users")).unwrap();
    let lines = ("content-type", "application/x-ndjson");
    for n in 0..10_000 {
        let event = paid(&n.to_string(), NOW, "u", "1");
        if pond.ask("POST", "/v1/events/users", &[lines], event).await.status != StatusCode::OK {
            return pond;
        }
    }
    panic!("a store without files goes on");
}

impl Pond {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    async fn post(&self, path: &str) -> Answer {
        self.ask("POST", path, &[], "").await
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost:7717");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Gives events as lines.
    async fn put(&self, path: &str, events: &[String]) -> Value {
        self.ask("POST", path, &[("content-type", "application/x-ndjson")], events.join("\n")).await.ok()
    }

    async fn admin(&self, path: &str, json: &str) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], json.to_owned()).await
    }
}

fn created(id: &str, timestamp: u64, user: &str, name: &str) -> String {
    format!(r#"{{"id":"{id}","type":"created","timestamp":{timestamp},"user":"{user}","name":"{name}"}}"#)
}

fn paid(id: &str, timestamp: u64, user: &str, amount: &str) -> String {
    format!(
        r#"{{"id":"{id}","type":"paid","timestamp":{timestamp},"user":"{user}","order":"o-{id}","amount":{amount}}}"#
    )
}

/// The statuses of the events of an answer.
fn statuses(taken: &Value) -> Vec<&str> {
    taken["events"].as_array().unwrap().iter().map(|event| event["status"].as_str().unwrap()).collect()
}

/// A key with a snapshot through `NOW`, of which nothing is trimmed.
async fn with_snapshot(pond: &Pond, key: &str) {
    pond.put("/v1/events/users", &[created("first", NOW, key, "A"), paid("second", NOW, key, "1")]).await;
    let made = pond.post(&format!("/v1/views/users/{}/snapshot", key.replace('/', "%2F"))).await.ok();
    assert_eq!((made["closed"].as_bool(), made["events"].as_u64()), (Some(true), Some(2)));
}
