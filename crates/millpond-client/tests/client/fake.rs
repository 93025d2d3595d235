//! A server that answers as it is told to, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use millpond_client::{Client, Retry};
use tokio::net::TcpListener;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /v1/joins?a=b`
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A status, headers and a body.
pub(crate) type Reply = (u16, Vec<(&'static str, String)>, Body);

#[derive(Clone, Default)]
pub(crate) struct Fake {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) url: String,
}

impl Fake {
    /// Gives these answers, one after the other, then 500.
    pub(crate) async fn with(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replies = Arc::new(Mutex::new(replies.into_iter().collect()));
        let fake = Self { replies, asked: Arc::default(), url };
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    /// A client whose waits are as long as they can be.
    pub(crate) fn client(&self) -> Client {
        Client::builder(&self.url).chance(|| 1.0).build().unwrap()
    }

    pub(crate) fn client_with(&self, retry: Retry) -> Client {
        Client::builder(&self.url).chance(|| 1.0).retry(retry).build().unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn answer(State(fake): State<Fake>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let line = format!("{} {}", parts.method, parts.uri);
    let body = String::from_utf8(body.to_vec()).unwrap();
    fake.asked.lock().unwrap().push(Asked { line, headers: parts.headers, body });
    let (status, headers, body) = fake.replies.lock().unwrap().pop_front().unwrap_or_else(|| refusal(500, "internal"));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

pub(crate) fn json(body: impl Into<String>) -> Reply {
    (200, vec![("content-type", "application/json".into())], Body::from(body.into()))
}

pub(crate) fn refusal(status: u16, word: &str) -> Reply {
    let body = format!(
        r#"{{"type":"urn:millpond:{word}","title":"t","status":{status},"detail":"what is wrong: {word}","later":1}}"#
    );
    (status, vec![("content-type", "application/problem+json".into())], Body::from(body))
}

pub(crate) fn taken(accepted: u64) -> Reply {
    json(format!(
        r#"{{"received":{accepted},"accepted":{accepted},"duplicate":0,"late":0,"quarantined":0,"ignored":0,"events":[]}}"#
    ))
}
