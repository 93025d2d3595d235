//! What fuzz targets reach for: the pure readers of requests.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::filter::Filter;
use super::query::{Kind, Param, Query};
use super::{cloudevents, framing};

/// How a body carries events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object, or an array of them.
    Json,
    /// One CloudEvent.
    One,
    /// An array of CloudEvents.
    Array,
    /// An event a line.
    Lines,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Json, Self::One, Self::Array, Self::Lines];
}

/// The places of the events in a body, if they can be made out.
#[must_use]
pub fn events(form: Form, body: &[u8], events_max: usize) -> Option<Vec<Range<usize>>> {
    let form = match form {
        Form::Json => framing::Form::Json,
        Form::One => framing::Form::One,
        Form::Array => framing::Form::Array,
        Form::Lines => framing::Form::Lines,
    };
    framing::events(form, body, events_max).ok()
}

/// A CloudEvent of headers and data as text, or what is wrong; `None` if a value is none of HTTP's.
#[must_use]
pub fn structured(headers: &[(&str, &[u8])], data: &[u8]) -> Option<Result<String, String>> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(cloudevents::structured(&map, data))
}

/// A parameter of each kind.
const PARAMS: &[Param] = &[
    param("prefix", Kind::Text(10)),
    param("limit", Kind::Limit),
    param("most", Kind::AtMost(7)),
    param("since", Kind::Time),
    param("flag", Kind::Flag),
    param("where", Kind::Where),
    param("at", Kind::Position),
    param("late", Kind::LatePlace),
    param("entry", Kind::EntryId),
    param("cursor", Kind::Cursor),
    param("choice", Kind::Choice(&["asc", "desc"])),
];

const fn param(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, about: "" }
}

/// The names and values of a query.
///
/// # Errors
/// What is wrong with it.
pub fn query(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let query = Query::parse(text, PARAMS).map_err(|problem| problem.detail().to_owned())?;
    // What was checked is there.
    for (name, is_there) in [
        ("since", query.time("since").is_some()),
        ("at", query.position("at").is_some()),
        ("late", query.late_place("late").is_some()),
        ("cursor", query.cursor("cursor").is_some()),
    ] {
        assert_eq!(query.text(name).is_some(), is_there, "{name}");
    }
    assert!((1..=super::query::LIMIT_MAX).contains(&query.limit()));
    let values = |param: &Param| query.all(param.name).map(|value| (param.name, value.to_owned())).collect::<Vec<_>>();
    Ok(PARAMS.iter().flat_map(values).collect())
}

/// Whether a document is wanted.
///
/// # Errors
/// What is wrong with a condition.
pub fn filter(conditions: &[&str], fields: &[&str], document: &str) -> Result<bool, String> {
    Ok(Filter::parse(conditions.iter().copied(), fields)?.matches(document))
}
