//! Bodies of requests, in each form that the server takes: what lies where, and a CloudEvent that
//! came in headers.

use millpond::fuzzing::http::{Form, events, structured};
use serde_json::value::RawValue;
use serde_json::{Value, from_slice};

use crate::first_line;

/// The most events of one body here: few, so that bodies have too many.
const EVENTS_MAX: usize = 5;
const NAMES: [&str; 8] =
    ["ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "content-type", "ce-subject", "ce-x"];

/// A body, as each form; and its first line as headers of a CloudEvent, the rest as its data.
pub fn run(bytes: &[u8]) {
    for form in Form::ALL {
        if let Some(places) = events(form, bytes, EVENTS_MAX) {
            framed(form, bytes, &places);
        }
    }
    let (headers, data) = first_line(bytes);
    let values: Vec<(&str, &[u8])> = NAMES.into_iter().zip(headers.split(|byte| *byte == b'\t')).collect();
    in_headers(&values, data);
}

fn framed(form: Form, bytes: &[u8], places: &[std::ops::Range<usize>]) {
    assert!(places.len() <= EVENTS_MAX);
    assert!(places.is_sorted_by(|one, other| one.end <= other.start), "events overlap: {places:?}");
    assert!(places.iter().all(|place| !place.is_empty() && place.end <= bytes.len()));
    let found: Vec<&[u8]> = places.iter().map(|place| &bytes[place.clone()]).collect();
    assert!(found.iter().all(|event| event.trim_ascii() == *event || form == Form::Lines), "space around an event");
    match form {
        Form::Lines => {
            let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
            let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(space));
            assert_eq!(lines.count(), found.len());
            assert!(found.iter().all(|event| !event.contains(&b'\n')));
        }
        Form::Json | Form::One | Form::Array => {
            let elements: Vec<&RawValue> = match from_slice(bytes) {
                Ok(elements) if form != Form::One => elements,
                _ => vec![from_slice(bytes).expect("a body that is taken is JSON")],
            };
            assert!(elements.iter().map(|element| element.get().as_bytes()).eq(found));
        }
    }
}

fn in_headers(values: &[(&str, &[u8])], data: &[u8]) {
    let Some(Ok(text)) = structured(values, data) else { return };
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        // Data goes in as it is: it may say what only a value's reader refuses.
        Err(error) => return assert!(from_slice::<Value>(data).is_err(), "{error} in {text}"),
    };
    let members = value.as_object().expect("an event is an object");
    for (name, _) in values {
        let attribute = name.strip_prefix("ce-").unwrap_or("datacontenttype");
        assert!(members.get(attribute).is_some_and(Value::is_string), "{attribute} is lost in {text}");
    }
    let with_data = usize::from(members.contains_key("data")) + usize::from(members.contains_key("data_base64"));
    assert_eq!(with_data, usize::from(!data.is_empty()));
    assert_eq!(members.len(), values.len() + with_data);
    if let Some(sent) = members.get("data_base64").and_then(Value::as_str) {
        assert_eq!(sent.len(), data.len().div_ceil(3) * 4);
    }
    let whole = 0..text.len();
    assert_eq!(events(Form::One, text.as_bytes(), 1), Some(vec![whole]));
}
