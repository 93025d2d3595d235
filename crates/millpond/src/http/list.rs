//! Lists of views: by pages, or all of them as lines.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use millpond_client::wire::{ViewEntry, ViewPage};
use millpond_store::{Error, ListedView, Store};
use serde_json::value::RawValue;

use super::filter::Filter;
use super::json;
use super::problem::Problem;
use super::query::Query;
use super::target::OfJoin;
use crate::service::{Hosted, Refused};

/// Keys looked at for one page: a filter that fits few views must not read them all in one request.
const LOOKED_AT_MAX: usize = 10_000;
/// A page ends once it holds so much.
const PAGE_BYTES: usize = 4 << 20;
/// Keys read at once.
const STEP: usize = 100;
/// Views of one piece of a stream.
const STREAMED_AT_ONCE: usize = 500;

/// What is asked for.
#[derive(Clone)]
struct Asked {
    prefix: String,
    filter: Filter,
    limit: usize,
}

/// `GET /v1/views/{join}`.
pub(super) async fn views(OfJoin(join): OfJoin, query: Query, headers: HeaderMap) -> Result<Response, Problem> {
    let fields: Vec<&str> = join.join().fields().iter().map(|field| field.name.as_str()).collect();
    let filter = Filter::parse(query.all("where"), &fields).map_err(Problem::bad_request)?;
    let prefix = query.text("prefix").unwrap_or_default().to_owned();
    let after = query.text("after").map(str::to_owned);
    if wants_lines(&headers) {
        return Ok(lines(join, Asked { prefix, filter, limit: STREAMED_AT_ONCE }, after));
    }
    let asked = Asked { prefix, filter, limit: query.limit() };
    json(&join.run(move |store| page(store, &asked, after)).await?)
}

fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|list| list.split(',')).map(|kind| kind.split(';').next().unwrap_or_default());
    kinds.any(|kind| matches!(kind.trim(), "application/x-ndjson" | "application/ndjson" | "application/jsonl"))
}

fn page(store: &Store, asked: &Asked, mut after: Option<String>) -> Result<ViewPage, Error> {
    let (mut views, mut looked_at, mut held) = (Vec::new(), 0, 0);
    loop {
        let step = STEP.min(LOOKED_AT_MAX - looked_at);
        let some = store.views(&asked.prefix, after.as_deref(), step)?;
        if some.is_empty() {
            return Ok(ViewPage { views, next: None });
        }
        for ListedView { key, version, document } in some {
            looked_at += 1;
            after = Some(key.clone());
            if asked.filter.matches(&document) {
                held += document.len();
                views.push(ViewEntry { key, version, document: parsed(document)? });
            }
            if views.len() == asked.limit || held >= PAGE_BYTES || looked_at == LOOKED_AT_MAX {
                let more = !store.keys(&asked.prefix, after.as_deref(), 1)?.is_empty();
                return Ok(ViewPage { views, next: after.filter(|_| more) });
            }
        }
    }
}

fn parsed(document: String) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(document).map_err(|_| Error::Unreadable { what: "a document".into() })
}

/// All views as lines. A page is read when the reader has taken the one before.
fn lines(join: Arc<Hosted>, asked: Asked, after: Option<String>) -> Response {
    let pages = stream::try_unfold(Some(after), move |at| {
        let (join, asked) = (Arc::clone(&join), asked.clone());
        async move {
            let Some(after) = at else { return Ok::<_, Refused>(None) };
            let page = join.run(move |store| page(store, &asked, after)).await?;
            let mut text = Vec::new();
            for view in &page.views {
                serde_json::to_writer(&mut text, view).expect("texts and numbers are JSON");
                text.push(b'\n');
            }
            Ok(Some((Bytes::from(text), page.next.map(Some))))
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response()
}
