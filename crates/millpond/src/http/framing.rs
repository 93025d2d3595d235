//! Where the events of a body lie. Pure: what is in them is the store's to judge, so that one bad
//! event costs no other.

use std::fmt;
use std::ops::Range;

use axum::http::{HeaderMap, header};
use memchr::memchr;
use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{Problem, Word};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How a body carries events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object, or an array of them.
    Json,
    /// One CloudEvent.
    One,
    /// An array of CloudEvents.
    Array,
    /// An event a line.
    Lines,
    /// A CloudEvent in binary mode: attributes in headers, the body is its data.
    Binary,
}

/// Content types of bodies with events, for messages and documentation.
pub(super) const CONTENT_TYPES: [(&str, Form); 6] = [
    ("application/json", Form::Json),
    ("application/x-ndjson", Form::Lines),
    ("application/ndjson", Form::Lines),
    ("application/jsonl", Form::Lines),
    ("application/cloudevents+json", Form::One),
    ("application/cloudevents-batch+json", Form::Array),
];

/// Why no events can be made out; nothing is taken then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body is not what its type says: what it is, to be said of it.
    Broken(String),
    /// More events than one request may have.
    TooMany,
}

/// The form that a request's headers announce.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let unsupported = |detail: String| Problem::new(Word::UnsupportedMediaType, detail);
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        return Err(unsupported(format!("the body is encoded as `{encoding}`; send it without Content-Encoding")));
    }
    let content_type = match headers.get(header::CONTENT_TYPE) {
        Some(value) => String::from_utf8_lossy(value.as_bytes()),
        None => "".into(),
    };
    let (kind, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let charset = parameters.to_ascii_lowercase().replace([' ', '"'], "");
    let charset = charset.split(';').find_map(|parameter| parameter.strip_prefix("charset="));
    if let Some(charset) = charset
        && !matches!(charset, "utf-8" | "utf8")
        && !kind.is_empty()
        && !headers.contains_key("ce-specversion")
    {
        return Err(unsupported(format!("the body is in {charset}; send UTF-8")));
    }
    let known = CONTENT_TYPES.iter().find(|(known, _)| *known == kind).map(|(_, form)| *form);
    match known {
        // A structured CloudEvent is one whatever else its headers say.
        Some(form @ (Form::One | Form::Array)) => Ok(form),
        _ if headers.contains_key("ce-specversion") => Ok(Form::Binary),
        Some(form) => Ok(form),
        None => {
            let found = if kind.is_empty() { "no Content-Type".to_owned() } else { format!("`{kind}`") };
            let known: Vec<&str> = CONTENT_TYPES.iter().map(|(known, _)| *known).collect();
            Err(unsupported(format!(
                "found {found}; send events as {}, or as a CloudEvent in binary mode (ce-* headers)",
                known.join(", ")
            )))
        }
    }
}

/// The places of the events in a body.
pub(super) fn events(form: Form, body: &[u8], events_max: usize) -> Result<Vec<Range<usize>>, Fault> {
    match form {
        Form::Lines => lines(body, events_max),
        Form::Array if first(body) != Some(&b'[') => {
            let expected = "expected an array of events; one event is sent as application/cloudevents+json";
            Err(Fault::Broken(format!("does not begin with `[`: {expected}. Nothing was taken")))
        }
        Form::Array => elements(body, events_max),
        Form::Json if first(body) == Some(&b'[') => elements(body, events_max),
        Form::Json | Form::One | Form::Binary => one(body),
    }
}

/// The first byte that is no white space.
fn first(body: &[u8]) -> Option<&u8> {
    body.iter().find(|byte| !is_space(**byte))
}

fn lines(body: &[u8], events_max: usize) -> Result<Vec<Range<usize>>, Fault> {
    let mut events = Vec::with_capacity((body.len() / 256).min(events_max));
    let mut start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    while start < body.len() {
        let end = memchr(b'\n', &body[start..]).map_or(body.len(), |length| start + length);
        if let Some(event) = trimmed(body, start..end) {
            if events.len() == events_max {
                return Err(Fault::TooMany);
            }
            events.push(event);
        }
        start = end + 1;
    }
    Ok(events)
}

/// The range without the white space around it; none if there is nothing else.
fn trimmed(body: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let bytes = &body[range.clone()];
    let first = bytes.iter().position(|byte| !is_space(*byte))?;
    let last = bytes.iter().rposition(|byte| !is_space(*byte))?;
    Some(range.start + first..range.start + last + 1)
}

fn one(body: &[u8]) -> Result<Vec<Range<usize>>, Fault> {
    if trimmed(body, 0..body.len()).is_none() {
        return Err(Fault::Broken("is empty; expected an event, or an array of events".to_owned()));
    }
    let value: &RawValue = serde_json::from_slice(body).map_err(|error| broken(body, &error))?;
    Ok(vec![place(body, value)])
}

fn elements(body: &[u8], events_max: usize) -> Result<Vec<Range<usize>>, Fault> {
    let mut too_many = false;
    let mut json = serde_json::Deserializer::from_slice(body);
    let places = Elements { body, events_max, too_many: &mut too_many };
    let read = json.deserialize_seq(places).and_then(|events| json.end().map(|()| events));
    read.map_err(|error| if too_many { Fault::TooMany } else { broken(body, &error) })
}

/// Collects places, and stops where there are too many.
struct Elements<'b> {
    body: &'b [u8],
    events_max: usize,
    too_many: &'b mut bool,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<Range<usize>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if events.len() == self.events_max {
                *self.too_many = true;
                return Err(A::Error::custom("too many"));
            }
            events.push(place(self.body, element));
        }
        Ok(events)
    }
}

/// Where in the body a value lies that was read from it.
fn place(body: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + value.get().len()
}

fn broken(body: &[u8], error: &serde_json::Error) -> Fault {
    let looks_like_lines = error.to_string().starts_with("trailing characters") && body.starts_with(b"{");
    let hint = if looks_like_lines { "; an event a line is sent as application/x-ndjson" } else { "" };
    Fault::Broken(format!("is not JSON: {error}{hint}. Nothing was taken"))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(form: Form, body: &str) -> Result<Vec<&str>, Fault> {
        let places = events(form, body.as_bytes(), 3)?;
        Ok(places.into_iter().map(|place| &body[place]).collect())
    }

    #[test]
    fn lines_are_found_whatever_ends_them() {
        let check = |body: &str, expected: &[&str]| assert_eq!(found(Form::Lines, body).unwrap(), expected, "{body:?}");
        check("", &[]);
        check("\n \r\n", &[]);
        check("a", &["a"]);
        check("a\nb\n", &["a", "b"]);
        check(" a \r\n\n\tb", &["a", "b"]);
        check("\u{feff}a\nb", &["a", "b"]);
        assert_eq!(found(Form::Lines, "a\nb\nc\nd"), Err(Fault::TooMany));
        assert_eq!(found(Form::Lines, "a\nb\nc\n\n"), Ok(vec!["a", "b", "c"]));
    }

    #[test]
    fn elements_are_found_with_whatever_is_in_them() {
        let check = |body: &str, expected: &[&str]| assert_eq!(found(Form::Json, body).unwrap(), expected, "{body:?}");
        check("[]", &[]);
        check(" [ ] ", &[]);
        check(r#"[{"a":"]"}, 2 ,[3]]"#, &[r#"{"a":"]"}"#, "2", "[3]"]);
        check(r#" {"a":[1]} "#, &[r#"{"a":[1]}"#]);
        check("7", &["7"]);
        assert_eq!(found(Form::Json, "[1,2,3,4]"), Err(Fault::TooMany));
    }

    #[test]
    fn what_is_cut_off_is_refused_as_a_whole() {
        for body in ["", " ", "[", "[1", "[1,", "{", "{}{}", "[1]]", "[1] x", "\u{feff}{}", "nul", "[1,}"] {
            assert!(matches!(found(Form::Json, body), Err(Fault::Broken(_))), "{body:?}");
        }
        for body in ["", "{}", " {}", "1"] {
            let Err(Fault::Broken(told)) = found(Form::Array, body) else { panic!("taken: {body}") };
            assert!(told.contains("expected an array of events") && !told.contains("JSON:"), "{told}");
        }
        let Err(Fault::Broken(told)) = found(Form::Json, "{}\n{}") else { panic!("taken") };
        assert!(told.contains("x-ndjson"), "{told}");
    }

    #[test]
    fn deep_nesting_is_framed_and_left_to_the_store() {
        let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(found(Form::Json, &deep).unwrap().len(), 1);
    }
}
