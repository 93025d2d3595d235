//! Query parameters: each route names those it knows, and what may be in them. The same list is
//! checked against and documented.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use millpond_core::Position;
use millpond_store::Cursor;
use percent_encoding::percent_decode;

use super::problem::Problem;
use super::target::{KEY_CHARACTERS_MAX, fault_of_text};

/// The most entries of a page, and how many there are unless asked.
pub(super) const LIMIT_MAX: usize = 1_000;
pub(super) const LIMIT_DEFAULT: usize = 100;
/// The last millisecond that RFC 3339 can write: the end of the year 9999.
pub(super) const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// A parameter of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
}

/// What may be in a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text without control characters, of at most this many characters.
    Text(usize),
    /// A number of entries.
    Limit,
    /// A number from 1 to this; no bound without it.
    AtMost(usize),
    /// Milliseconds since 1970 UTC, or an RFC 3339 date and time.
    Time,
    /// `true`, `false`, or nothing, which is true.
    Flag,
    /// Conditions; may come several times.
    Where,
    /// A position of an event.
    Position,
    /// A place in the late queue, as its pages give it.
    LatePlace,
    /// An id of an entry of the quarantine.
    EntryId,
    /// A place in a stream of changes.
    Cursor,
    /// One of some words.
    Choice(&'static [&'static str]),
}

/// The most conditions of one request.
const CONDITIONS_MAX: usize = 16;

impl Kind {
    /// What is wrong with a value, if anything.
    fn fault(self, value: &str) -> Option<String> {
        let expected = |right: bool, what: &str| (!right).then(|| format!("is `{value}`; expected {what}"));
        match self {
            Self::Text(max) => fault_of_text(value, max),
            Self::Where => fault_of_text(value, KEY_CHARACTERS_MAX),
            Self::Limit => Self::AtMost(LIMIT_MAX).fault(value),
            Self::AtMost(max) => {
                let fits = number(value).is_some_and(|number| (1..=max as u64).contains(&number));
                expected(fits, &format!("a number from 1 to {max}"))
            }
            Self::Time => expected(
                time(value).is_some(),
                "milliseconds since 1970 UTC, or an RFC 3339 time such as 2026-01-31T12:00:00Z (with + as %2B)",
            ),
            Self::Flag => expected(matches!(value, "" | "true" | "false"), "true or false"),
            Self::Position => expected(position(value).is_some(), "TIMESTAMP/ID, such as 1760000000000/e-17"),
            Self::LatePlace => expected(late_place(value).is_some(), "what `next` of the page before says"),
            Self::EntryId => {
                let digits = value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                expected(value.len() == 32 && digits, "an id of 32 hexadecimal digits, such as `next` gives")
            }
            Self::Cursor => expected(value.parse::<Cursor>().is_ok(), "an id that the stream gave, or none"),
            Self::Choice(words) => expected(words.contains(&value), &words.join(" or ")),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Milliseconds since 1970; earlier times are 0, since no event is older.
fn time(text: &str) -> Option<u64> {
    number(text).filter(|ms| *ms <= TIME_MS_MAX).or_else(|| {
        let instant: jiff::Timestamp = text.parse().ok()?;
        Some(u64::try_from(instant.as_millisecond()).unwrap_or(0))
    })
}

fn position(text: &str) -> Option<Position> {
    text.starts_with(|first: char| first.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A key, in which `/` and `%` are escaped, and a position.
fn late_place(text: &str) -> Option<(String, Position)> {
    let (key, at) = text.split_once('/')?;
    let key = percent_decode(key.as_bytes()).decode_utf8().ok()?;
    Some((key.into_owned(), position(at)?))
}

/// The checked parameters of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads the part of a URL behind `?`.
    pub(super) fn parse(text: &str, known: &'static [Param]) -> Result<Self, Problem> {
        let mut read = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let Some(param) = known.iter().find(|param| param.name == name) else {
                return Err(unknown(&name, known));
            };
            let before = read.all(param.name).count();
            if param.kind != Kind::Where && before > 0 {
                return Err(Problem::bad_request(format!("`{name}` comes twice in the query; give it once")));
            }
            if before >= CONDITIONS_MAX {
                let detail = format!("`{name}` comes more than {CONDITIONS_MAX} times in the query; give fewer");
                return Err(Problem::bad_request(detail));
            }
            if let Some(fault) = param.kind.fault(&value) {
                return Err(Problem::bad_request(format!("`{name}` in the query {fault}")));
            }
            read.0.push((param.name, value));
        }
        Ok(read)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value != "false")
    }

    pub(super) fn limit(&self) -> usize {
        self.number("limit").unwrap_or(LIMIT_DEFAULT)
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.text(name).and_then(number).map(|number| number as usize)
    }

    pub(super) fn time(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(time)
    }

    pub(super) fn position(&self, name: &str) -> Option<Position> {
        self.text(name).and_then(position)
    }

    pub(super) fn late_place(&self, name: &str) -> Option<(String, Position)> {
        self.text(name).and_then(late_place)
    }

    pub(super) fn cursor(&self, name: &str) -> Option<Cursor> {
        self.text(name).and_then(|text| text.parse().ok())
    }
}

fn decoded(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Problem::bad_request(
            "the query is not UTF-8 once its %-escapes are read; encode values as UTF-8 and escape that",
        )),
    }
}

fn unknown(name: &str, known: &[Param]) -> Problem {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let known: Vec<String> = known.iter().map(|param| format!("`{}`", param.name)).collect();
    let expected = match known.as_slice() {
        [] => "this route takes none; leave it out".to_owned(),
        known => format!("this route knows {}", known.join(", ")),
    };
    Problem::bad_request(format!("`{name}` is no parameter of the query here; {expected}"))
}

/// The middleware of each route: reads the query, or refuses it.
pub(super) async fn read(State(known): State<&'static [Param]>, mut request: Request, next: Next) -> Response {
    match Query::parse(request.uri().query().unwrap_or_default(), known) {
        Ok(query) => {
            request.extensions_mut().insert(query);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.remove::<Self>().unwrap_or_default())
    }
}
