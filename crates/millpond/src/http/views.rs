//! Views: one, as it was at a time, why it is what it is, and its history.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millpond_client::wire;
use millpond_core::explain::{Cause, Explanation, explain};
use millpond_core::store::Row;
use millpond_core::view::View;
use millpond_store::{AsOf, Error, KeyView, Store};

use super::pages::{Page, page};
use super::problem::{Problem, Word};
use super::query::Query;
use super::target::OfKey;
use super::{json, raw};

/// `GET /v1/views/{join}/{key}`.
pub(super) async fn one(OfKey(join, key): OfKey, query: Query, headers: HeaderMap) -> Result<Response, Problem> {
    let missing = no_view(join.name(), &key);
    match (query.time("at"), query.flag("explain")) {
        (Some(_), true) => Err(Problem::bad_request("`at` and `explain` exclude each other; ask for one of them")),
        (Some(at_ms), false) => {
            let asked = key.clone();
            match join.run(move |store| store.document_at(&asked, at_ms)).await? {
                Some(AsOf::Document(document)) => Ok(document_response(document)),
                Some(AsOf::NoEvents) => {
                    Err(Problem::not_found(format!("key `{key}` has no event as old as that; ask for a later time")))
                }
                Some(AsOf::BeforeSnapshot { through }) => Err(Problem::new(
                    Word::BeforeSnapshot,
                    format!(
                        "the events of that time are trimmed, and the snapshot has them only as a whole: ask for {} or later",
                        through.timestamp
                    ),
                )),
                None => Err(missing),
            }
        }
        (None, true) => json(&join.run(move |store| explained(store, &key)).await?.ok_or(missing)?),
        (None, false) => {
            let read = move |store: &Store| {
                let view = store.view(&key)?;
                Ok(view.map(|view| (tag(view.version, store), view.state.document(store.join(), &key))))
            };
            let (tag, document) = join.run(read).await?.ok_or(missing)?;
            Ok(tagged(tag, document, &headers))
        }
    }
}

fn no_view(join: &str, key: &str) -> Problem {
    Problem::not_found(format!("no event of `{join}` has the key `{key}`; `GET /v1/views/{join}` lists its keys"))
}

fn document_response(document: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

/// A version is that of one join under one definition: another makes other documents of it.
fn tag(version: u64, store: &Store) -> String {
    format!("\"{version}-{:08x}\"", store.edition())
}

fn tagged(tag: String, document: String, headers: &HeaderMap) -> Response {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|list| list.split(',')).map(str::trim);
    let mut tags = known.map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
    let mut response = match tags.any(|known| known == tag || known == "*") {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => document_response(document),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("digits in quotes are a header's value"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn explained(store: &Store, key: &str) -> Result<Option<wire::Explained>, Error> {
    let Some(KeyView { view, tail }) = store.key_view(key)? else { return Ok(None) };
    let fields = explain(store.join(), &view, &tail).map_err(|source| Error::Row {
        key: key.to_owned(),
        position: view.folded_to.clone(),
        source,
    })?;
    Ok(Some(wire::Explained {
        key: key.to_owned(),
        version: view.version,
        events: view.events,
        tail: view.tail_events(),
        snapshot: snapshot_info(&view),
        fields: fields.into_iter().map(field).collect(),
    }))
}

fn snapshot_info(view: &View) -> Option<wire::SnapshotInfo> {
    view.snapshot.as_ref().map(|snapshot| wire::SnapshotInfo {
        through: snapshot.through.to_string(),
        events: snapshot.events,
        closed_at: snapshot.closed_at,
    })
}

fn field(explanation: Explanation) -> wire::FieldExplanation {
    let Explanation { field, fold, value, snapshot, events, tail_values } = explanation;
    wire::FieldExplanation {
        field,
        fold: fold.to_owned(),
        value,
        snapshot: snapshot.map(|part| wire::FieldSnapshot {
            value: part.value,
            through: part.through,
            events: part.events,
        }),
        events: events
            .into_iter()
            .map(|Cause { timestamp, id, kind, gives }| wire::Cause { timestamp, id, kind, gives })
            .collect(),
        tail_values,
    }
}

/// `GET /v1/views/{join}/{key}/events`.
pub(super) async fn events(OfKey(join, key): OfKey, query: Query) -> Result<Response, Problem> {
    let missing = no_view(join.name(), &key);
    let (after, limit) = (query.position("after"), query.limit());
    let read = move |store: &Store| {
        let (mut covered, mut there) = ((None, 0, None), false);
        let rows = page(
            limit,
            |row: &Row| row.body.len(),
            |last, wanted| {
                let after = last.map(|row| &row.position).or(after.as_ref());
                let Some(rows) = store.rows_page(&key, after, wanted)? else { return Ok(Vec::new()) };
                (covered, there) = ((rows.through, rows.trimmed, rows.trimmed_to), true);
                Ok(rows.rows)
            },
        )?;
        Ok(there.then_some((covered, rows)))
    };
    let ((through, trimmed, trimmed_to), Page { entries, more }) = join.run(read).await?.ok_or(missing)?;
    let next = entries.last().filter(|_| more).map(|row| row.position.to_string());
    let stored = |row: Row| {
        Ok(wire::StoredEvent {
            timestamp: row.position.timestamp,
            id: row.position.id.to_string(),
            put_at: row.put_at,
            in_snapshot: through.as_ref().is_some_and(|through| row.position <= *through),
            event: raw(row.body.into())?,
        })
    };
    let events = entries.into_iter().map(stored).collect::<Result<_, Problem>>()?;
    let trimmed_to = trimmed_to.map(|position| position.to_string());
    json(&wire::EventPage { events, trimmed, trimmed_to, next })
}
