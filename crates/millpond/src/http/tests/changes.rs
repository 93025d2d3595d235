//! Streams of changes.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt;

use super::{NOW, Pond, USERS, created, paid, served};
use crate::access::{Scope, Tokens};

/// A reader of a stream.
pub(super) struct Reader {
    body: BodyDataStream,
    text: String,
    pub(super) last_id: String,
}

impl Pond {
    pub(super) async fn follow(&self, query: &str, last_id: &str) -> Reader {
        let mut request = Request::get(format!("/v1/changes/users{query}"));
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Reader { body: response.into_body().into_data_stream(), text: String::new(), last_id: last_id.to_owned() }
    }
}

impl Reader {
    /// The next event with data: its type and the data. None at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                self.last_id = field("id: ").unwrap_or_else(|| self.last_id.clone());
                if let (Some(kind), Some(data)) = (field("event: "), field("data: ")) {
                    return Some((kind, serde_json::from_str(&data).unwrap()));
                }
            }
            let piece = timeout(Duration::from_secs(20), self.body.next()).await.expect("it says something in time")?;
            self.text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    pub(super) async fn change(&mut self) -> (String, u64, Value) {
        let (kind, change) = self.next().await.expect("the stream goes on");
        assert_eq!(kind, "change");
        let key = change["key"].as_str().unwrap().to_owned();
        (key, change["version"].as_u64().unwrap(), change["document"].clone())
    }
}

#[tokio::test]
async fn changes_are_told_from_now_on_or_from_the_start() {
    let pond = served(&[USERS]);
    pond.put("/v1/events", &[created("1", NOW, "a", "A")]).await;
    let mut from_now = pond.follow("", "").await;
    let mut from_start = pond.follow("?from=start", "").await;
    pond.put("/v1/events", &[created("2", NOW, "b", "B")]).await;
    assert_eq!(from_now.change().await.0, "b");
    assert_eq!((from_start.change().await.0, from_start.change().await.0), ("a".into(), "b".into()));
    let mut of_key = pond.follow("?from=start&key=b", "").await;
    assert_eq!(of_key.change().await.2["name"], "B");
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice() {
    let pond = served(&[USERS]);
    let mut reader = pond.follow("?from=start", "").await;
    let mut versions = BTreeMap::<String, u64>::new();
    let mut totals = BTreeMap::<String, u64>::new();
    let mut hear = async |reader: &mut Reader| {
        let (key, version, document) = reader.change().await;
        let before = versions.insert(key.clone(), version).unwrap_or(0);
        assert!(version > before, "{version} after {before}");
        totals.insert(key, document["total"].as_u64().unwrap());
        totals.values().filter(|total| **total == 30).count()
    };
    for n in 1..=30u64 {
        let events: Vec<String> = (0..5).map(|key| paid(&format!("{n}"), NOW + n, &format!("k{key}"), "1")).collect();
        pond.put("/v1/events", &events).await;
        if n % 3 == 0 {
            // Cut in the middle of what one commit changed.
            for _ in 0..n % 5 {
                hear(&mut reader).await;
            }
            reader = pond.follow("", &reader.last_id).await;
        }
    }
    while hear(&mut reader).await < 5 {}
}

#[tokio::test]
async fn an_erased_key_is_told_as_gone() {
    let pond = served(&[USERS]);
    pond.put("/v1/events", &[created("1", NOW, "a", "A")]).await;
    let mut reader = pond.follow("?from=start", "").await;
    assert_eq!(reader.change().await.0, "a");
    pond.ask("DELETE", "/v1/views/users/a", &[], "").await.ok();
    let (key, _, document) = reader.change().await;
    assert_eq!((key.as_str(), document), ("a", Value::Null));
}

#[tokio::test]
async fn a_stream_ends_with_its_join_and_with_the_server() {
    let pond = served(&[USERS]);
    let mut reader = pond.follow("", "").await;
    assert!(pond.get("/metrics").await.text().contains("millpond_change_streams 1\n"));
    pond.ask("DELETE", "/v1/joins/users", &[], "").await.ok();
    assert!(reader.next().await.is_none());
    drop(reader);
    assert!(pond.get("/metrics").await.text().contains("millpond_change_streams 0\n"));

    let pond = served(&[USERS]);
    let mut reader = pond.follow("", "").await;
    pond.stop.send_replace(true);
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn a_reader_of_nothing_is_kept_company() {
    let pond = served(&[USERS]);
    pond.put("/v1/events", &[created("1", NOW, "a", "A")]).await;
    let mut reader = pond.follow("?key=nobody", "").await;
    let prelude = reader.body.next().await.unwrap().unwrap();
    assert!(prelude.starts_with(b"retry: "));
    pond.put("/v1/events", &[created("2", NOW, "a", "B")]).await;
    tokio::time::pause();
    let ping = reader.body.next().await.unwrap().unwrap();
    assert!(ping.starts_with(b": ping\nid: c"), "{ping:?}");
}

/// A stream can last for months: it must not outlive the right to read it.
#[tokio::test]
async fn a_stream_ends_when_its_reader_may_read_no_more() {
    let pond = served(&[USERS]);
    let mut reader = pond.follow("", "").await;
    pond.put("/v1/events", &[created("1", NOW, "a", "A")]).await;
    assert_eq!(reader.change().await.0, "a");
    Tokens::add(pond.dir.path(), "somebody-else", &[Scope::Read], 1).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    pond.service.join("users").unwrap().with(|store| store.snapshot(&["a"], u64::MAX)).unwrap();
    assert_eq!(reader.next().await, None);
}
