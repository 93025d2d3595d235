//! Views: one, as it was at a time, why it is what it is, and its history.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use millpond_client::wire;
use millpond_core::explain::{Asked, Cause, Explanation, explain_some};
use millpond_core::store::Row;
use millpond_core::view::View;
use millpond_store::{AsOf, Error, KeyView, Store};

use super::pages::{Page, page};
use super::problem::{Problem, Word};
use super::query::Query;
use super::tag::tagged;
use super::target::OfKey;
use super::{json, raw};
use crate::service::Hosted;

/// `GET /v1/views/{join}/{key}`.
pub(super) async fn one(OfKey(join, key): OfKey, query: Query, headers: HeaderMap) -> Result<Response, Problem> {
    let missing = no_view(join.name(), &key);
    let asked = explanation_asked(&join, &query)?;
    match (query.time("at"), query.flag("explain")) {
        (Some(_), true) => Err(Problem::bad_request("`at` and `explain` exclude each other; ask for one of them")),
        (Some(at_ms), false) => {
            let of = key.clone();
            match join.run(move |store| store.document_at(&of, at_ms)).await? {
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
        (None, true) => json(&join.run(move |store| explained(store, &key, &asked)).await?.ok_or(missing)?),
        (None, false) => {
            let read = move |store: &Store| {
                let view = store.view(&key)?;
                Ok(view.map(|view| (tag(view.version, store), view.state.document(store.join(), &key))))
            };
            let (tag, document) = join.run(read).await?.ok_or(missing)?;
            Ok(tagged(&tag, &headers, || document_response(document)))
        }
    }
}

/// What of a view is to be explained.
struct Explain {
    field: Option<String>,
    events_max: Option<usize>,
}

fn explanation_asked(join: &Hosted, query: &Query) -> Result<Explain, Problem> {
    let (field, events_max) = (query.text("field").map(str::to_owned), query.number("limit"));
    if !query.flag("explain") && (field.is_some() || events_max.is_some()) {
        return Err(Problem::bad_request("`field` and `limit` go with `explain`; add it, or leave them out"));
    }
    let mut known = join.join().shown_fields().map(|(_, field)| field.name.as_str());
    match &field {
        Some(field) if !known.any(|known| known == field) => {
            let known: Vec<String> = join.join().shown_fields().map(|(_, field)| format!("`{}`", field.name)).collect();
            let detail = format!("`field` names the field `{field}`; the views have {}", known.join(", "));
            Err(Problem::bad_request(detail))
        }
        _ => Ok(Explain { field, events_max }),
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

fn explained(store: &Store, key: &str, asked: &Explain) -> Result<Option<wire::Explained>, Error> {
    let Some(KeyView { view, tail }) = store.key_view(key)? else { return Ok(None) };
    let asked = Asked { field: asked.field.as_deref(), events_max: asked.events_max };
    let fields = explain_some(store.join(), &view, &tail, asked).map_err(|source| Error::Row {
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

/// A field's explanation as it goes over HTTP.
pub(crate) fn field(explanation: Explanation) -> wire::FieldExplanation {
    let Explanation { field, fold, value, snapshot, events, shows, tail_values } = explanation;
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
        shows,
        tail_values,
    }
}

/// `GET /v1/views/{join}/{key}/events`.
pub(super) async fn events(OfKey(join, key): OfKey, query: Query) -> Result<Response, Problem> {
    let missing = no_view(join.name(), &key);
    let (after, limit) = (query.position("after"), query.limit());
    let newest_first = query.text("order") == Some("newest");
    let read = move |store: &Store| {
        let (mut covered, mut there) = ((None, 0, None), false);
        let rows = page(
            limit,
            |row: &Row| row.body.len(),
            |last, wanted| {
                let after = last.map(|row| &row.position).or(after.as_ref());
                let rows = match newest_first {
                    true => store.newest_rows_page(&key, after, wanted)?,
                    false => store.rows_page(&key, after, wanted)?,
                };
                let Some(rows) = rows else { return Ok(Vec::new()) };
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
