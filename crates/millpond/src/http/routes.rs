//! The table of routes: what each is, who may use it, what it takes and gives.

use axum::http::StatusCode;
use axum::routing::on;
use utoipa::openapi::HttpMethod;

use super::problem::Word;
use super::query::{Kind, LIMIT_MAX, Param};
use super::route::{Content, Route, Takes};
use super::target::KEY_CHARACTERS_MAX;
use super::{
    changes, duplicates, events, joins, late, layers, list, metrics, openapi, page, preview, quarantine, tails, upkeep,
    views,
};
use crate::access::Scope;

const fn param(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { name, kind, about }
}

const KEY: Param = param("key", Kind::Text(KEY_CHARACTERS_MAX), "Only this key");
const PREFIX: Param = param("prefix", Kind::Text(KEY_CHARACTERS_MAX), "Only keys that begin with this");
const AFTER_KEY: Param = param("after", Kind::Text(KEY_CHARACTERS_MAX), "Only keys after this one, such as `next`");
const LIMIT: Param = param("limit", Kind::Limit, "Entries of a page; it ends sooner where entries are large");

macro_rules! route {
    ($method:ident $path:literal, $scope:expr, $name:literal, $handler:path, $about:literal) => {
        Route {
            method: HttpMethod::$method,
            path: $path,
            scope: $scope,
            name: $name,
            about: $about,
            params: &[],
            takes: Takes::Nothing,
            gives: Vec::new(),
            refuses: &[],
            handler: |filter| on(filter, $handler),
        }
    };
}

macro_rules! json {
    ($schema:literal) => {
        &[("application/json", Content::Schema($schema))]
    };
}

const OPEN: Option<Scope> = None;
const INGEST: Option<Scope> = Some(Scope::Ingest);
const READ: Option<Scope> = Some(Scope::Read);
const ADMIN: Option<Scope> = Some(Scope::Admin);
const OK: StatusCode = StatusCode::OK;

/// Every operation there is.
pub(super) fn table() -> Vec<Route> {
    [of_events(), of_views(), of_queues(), of_joins(), of_the_server()].into_iter().flatten().collect()
}

fn of_events() -> Vec<Route> {
    const TAKEN: &str = "All events are durable, wherever they went: each has an answer";
    vec![
        route!(Post "/v1/events", INGEST, "putEvents", events::to_all, "Give events to every join; anything may be sent again")
            .takes(Takes::Events)
            .gives(OK, TAKEN, json!("Taken"))
            .refuses(&[Word::Unavailable, Word::Rebuilding]),
        route!(Post "/v1/events/{join}", INGEST, "putEventsToJoin", events::to_one, "Give events to one join; anything may be sent again")
            .takes(Takes::Events)
            .gives(OK, TAKEN, json!("Taken")),
    ]
}

fn of_views() -> Vec<Route> {
    const PAGE: &[(&str, Content)] =
        &[("application/json", Content::Schema("ViewPage")), ("application/x-ndjson", Content::Schema("ViewEntry"))];
    const VIEW: &[Param] = &[
        param("at", Kind::Time, "The view as of this time of events: milliseconds since 1970 UTC, or RFC 3339"),
        param("explain", Kind::Flag, "Why the view is what it is, in place of the view"),
        param("field", Kind::Text(KEY_CHARACTERS_MAX), "With `explain`: only this field of the view"),
        param(
            "limit",
            Kind::AtMost(LIMIT_MAX),
            "With `explain`: of a field's events, so many of the newest; all without it",
        ),
    ];
    const VIEWS: &[Param] = &[
        PREFIX,
        AFTER_KEY,
        LIMIT,
        param(
            "where",
            Kind::Where,
            "`FIELD OP VALUE`, with one of = != < <= > >=; all conditions must hold. At most 10,000 keys are looked at for a page",
        ),
    ];
    const CHANGES: &[Param] = &[
        KEY,
        PREFIX,
        param(
            "from",
            Kind::Choice(&["start", "now"]),
            "Where to begin without an id: all views first, or only what changes from now on (the default)",
        ),
        param("last-event-id", Kind::Cursor, "In place of the header `Last-Event-ID`"),
    ];
    const EVENTS: &[Param] = &[
        param(
            "order",
            Kind::Choice(&["oldest", "newest"]),
            "Which events come first: the oldest (the default), or the newest",
        ),
        param(
            "after",
            Kind::Position,
            "Only events that come after this position in that order, such as `next`: with `newest`, those before it",
        ),
        LIMIT,
    ];
    vec![
        route!(Get "/v1/views/{join}", READ, "listViews", list::views, "Views in the order of keys; with `Accept: application/x-ndjson` all of them, one a line, whatever `limit` says")
            .params(VIEWS)
            .gives(OK, "A page of views", PAGE),
        route!(Get "/v1/views/{join}/{key}", READ, "getView", views::one, "A view's document; `ETag` tells it from others of the key")
            .params(VIEW)
            .gives(OK, "The document, or its explanation", &[("application/json", Content::Object)])
            .gives(StatusCode::NOT_MODIFIED, "The version is the one that `If-None-Match` names", &[])
            .refuses(&[Word::BeforeSnapshot]),
        route!(Delete "/v1/views/{join}/{key}", ADMIN, "eraseKey", upkeep::erase, "Erase everything that is stored of a key, down to the bytes on disk")
            .gives(OK, "What was removed", json!("Erased")),
        route!(Get "/v1/views/{join}/{key}/events", READ, "listEvents", views::events, "The stored events of a key, in the order of positions or the newest first")
            .params(EVENTS)
            .gives(OK, "A page of events", json!("EventPage")),
        route!(Post "/v1/views/{join}/{key}/snapshot", ADMIN, "snapshotKey", upkeep::snapshot, "Close what can be closed of a key's history")
            .gives(OK, "The snapshot there is", json!("Snapshotted")),
        route!(Post "/v1/views/{join}/{key}/trim", ADMIN, "trimKey", upkeep::trim, "Delete the events of a key that its snapshot covers")
            .gives(OK, "What is gone", json!("Trimmed")),
        route!(Get "/v1/changes/{join}", READ, "followChanges", changes::changes, "Changes of views as server-sent events: `change` with a Change, `reset` when everything known must be forgotten. Resumes by `Last-Event-ID`")
            .params(CHANGES)
            .gives(OK, "The stream; it ends when the join is no longer served", &[("text/event-stream", Content::Change)]),
    ]
}

fn of_queues() -> Vec<Route> {
    const PLACE: Param = param("after", Kind::LatePlace, "Only events after this place, which is `next`");
    const ID: Param = param("after", Kind::EntryId, "Only entries after this id, such as `next`");
    const LATE: &[Param] = &[KEY, PLACE, LIMIT];
    const DUPLICATES: &[Param] = &[KEY, LIMIT];
    const QUARANTINE: &[Param] = &[ID, LIMIT];
    vec![
        route!(Get "/v1/late/{join}", READ, "listLate", late::list, "Events that came after their place was closed")
            .params(LATE)
            .gives(OK, "A page of the late queue", json!("LatePage")),
        route!(Post "/v1/late/{join}/accept", ADMIN, "acceptLate", late::accept, "Fold late events into the snapshot, for ever")
            .takes(Takes::LateChoice)
            .gives(OK, "How many were folded", json!("Done")),
        route!(Post "/v1/late/{join}/drop", ADMIN, "dropLate", late::drop, "Let late events go")
            .takes(Takes::LateChoice)
            .gives(OK, "How many are gone", json!("Done")),
        route!(Get "/v1/duplicates/{join}", READ, "listDuplicates", duplicates::list, "The newest repeats that came, the newest first; as many as the server remembers")
            .params(DUPLICATES)
            .gives(OK, "The newest", json!("DuplicateList")),
        route!(Get "/v1/quarantine/{join}", READ, "listQuarantine", quarantine::list, "What could not be joined, with reasons")
            .params(QUARANTINE)
            .gives(OK, "A page of the quarantine", json!("QuarantinePage")),
        route!(Delete "/v1/quarantine/{join}", ADMIN, "dropAllQuarantined", quarantine::drop_all, "Let all of the quarantine go")
            .gives(OK, "How many entries are gone", json!("Done")),
        route!(Post "/v1/quarantine/{join}/retry", ADMIN, "retryAllQuarantined", quarantine::retry_all, "Try to join all of the quarantine again")
            .gives(OK, "What became of it", json!("Retried")),
        route!(Get "/v1/quarantine/{join}/{id}", READ, "getQuarantined", quarantine::one, "The bytes of an entry, as they were received")
            .gives(OK, "The bytes", &[("application/octet-stream", Content::Bytes)]),
        route!(Delete "/v1/quarantine/{join}/{id}", ADMIN, "dropQuarantined", quarantine::drop_one, "Let an entry go")
            .gives(OK, "It is gone", json!("Done")),
        route!(Post "/v1/quarantine/{join}/{id}/retry", ADMIN, "retryQuarantined", quarantine::retry_one, "Try to join an entry again")
            .gives(OK, "What became of it", json!("Retried")),
    ]
}

fn of_joins() -> Vec<Route> {
    const PUT: &[Param] = &[
        param("rebuild", Kind::Flag, "The views may be made anew"),
        param("drop_unnamed", Kind::Flag, "In a rebuild, events of types that the definition no longer names may go"),
    ];
    const SAMPLES: &[Param] =
        &[param("after", Kind::Time, "Only samples later than this: milliseconds since 1970 UTC, or RFC 3339")];
    const TAILS: &[Param] = &[AFTER_KEY];
    const DATA: &[Param] =
        &[param("data", Kind::Choice(&["keep", "delete"]), "Whether its files go too; they are kept by default")];
    vec![
        route!(Get "/v1/joins", READ, "listJoins", joins::list, "The joins that are served")
            .gives(OK, "All of them", json!("JoinList")),
        route!(Get "/v1/joins/{join}", READ, "getJoin", joins::one, "A join and its definition")
            .gives(OK, "The join", json!("JoinInfo")),
        route!(Put "/v1/joins/{join}", ADMIN, "putJoin", joins::put, "Add a join, or change its definition")
            .params(PUT)
            .takes(Takes::Definition)
            .gives(OK, "It was served before", json!("JoinPut"))
            .gives(StatusCode::CREATED, "It was not served before", json!("JoinPut"))
            .refuses(&[Word::DefinitionChanged, Word::InvalidDefinition]),
        route!(Delete "/v1/joins/{join}", ADMIN, "removeJoin", joins::remove, "Serve a join no longer")
            .params(DATA)
            .gives(OK, "It is no longer served", json!("Done")),
        route!(Get "/v1/joins/{join}/stats", READ, "getStats", joins::stats, "What was counted since the join was made")
            .gives(OK, "The counts", json!("Stats")),
        route!(Get "/v1/joins/{join}/samples", READ, "getSamples", joins::samples, "What was counted over the last hour, a sample each 10 s since the server began to serve the join")
            .params(SAMPLES)
            .gives(OK, "Columns of equal length, ascending in time", json!("Samples")),
        route!(Get "/v1/joins/{join}/tails", READ, "getTails", tails::tails, "How many events up to 10,000 keys have after their snapshots")
            .params(TAILS)
            .gives(OK, "The lengths, by powers of two", json!("Tails")),
        route!(Post "/v1/joins/{join}/snapshot", ADMIN, "snapshotJoin", upkeep::snapshot_all, "Close what can be closed of every key")
            .gives(OK, "How many new snapshots there are", json!("Done")),
        route!(Post "/v1/joins/{join}/trim", ADMIN, "trimJoin", upkeep::trim_all, "Delete the events that snapshots cover")
            .gives(OK, "How many events are gone", json!("Done")),
        route!(Post "/v1/joins/{join}/verify", ADMIN, "verifyJoin", joins::verify, "Fold everything anew and compare: there must be no difference")
            .gives(OK, "What was found", json!("Verified")),
        route!(Post "/v1/check", READ, "checkDefinition", joins::check, "Check a definition, and store nothing")
            .takes(Takes::Definition)
            .gives(OK, "What it would be", json!("JoinInfo"))
            .refuses(&[Word::InvalidDefinition]),
        route!(Post "/v1/preview", READ, "previewJoin", preview::preview, "What a definition would make of some events; nothing is stored")
            .takes(Takes::Preview)
            .gives(OK, "What became of each event, and the views", json!("Preview"))
            .refuses(&[Word::InvalidDefinition]),
    ]
}

fn of_the_server() -> Vec<Route> {
    const TEXT: &[(&str, Content)] = &[("text/plain", Content::Text)];
    vec![
        route!(Get "/", OPEN, "getPage", page::start, "The page: what the API answers, for people")
            .gives(OK, "Its first file", page::INDEX_KIND)
            .gives(StatusCode::NOT_MODIFIED, "It is the one that `If-None-Match` names", &[]),
        route!(Get "/page/{file}", OPEN, "getPageFile", page::file, "Another file of the page")
            .gives(OK, "The file", page::KINDS)
            .gives(StatusCode::NOT_MODIFIED, "It is the one that `If-None-Match` names", &[]),
        route!(Get "/healthz", OPEN, "getHealth", layers::alive, "Whether the process works")
            .gives(OK, "It does", TEXT),
        route!(Get "/readyz", OPEN, "getReadiness", layers::ready, "Whether all joins are served")
            .gives(OK, "They are", TEXT)
            .refuses(&[Word::Unavailable]),
        route!(Get "/openapi.json", OPEN, "getOpenApi", openapi::document, "This document").gives(
            OK,
            "OpenAPI 3.1",
            &[("application/json", Content::Object)],
        ),
        route!(Get "/metrics", READ, "getMetrics", metrics::scrape, "Metrics for Prometheus").gives(
            OK,
            "OpenMetrics text",
            &[(metrics::CONTENT_TYPE, Content::Text)],
        ),
    ]
}
