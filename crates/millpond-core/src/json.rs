//! One form for each JSON value, so that equal values have equal bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::number::Number;

/// A JSON value as canonical text: members sorted, no spaces, numbers and strings in their
/// shortest form. Equal values are equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Json(Box<str>);

impl Json {
    /// The canonical form of `text`, which must be one valid JSON value.
    #[must_use]
    pub fn canonical(text: &str) -> Self {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        if is_canonical_scalar(text) {
            return Self(text.into());
        }
        let mut out = String::with_capacity(text.len());
        write_canonical(text, &mut out);
        Self(out.into())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self::canonical(&value.to_string())
    }
}

/// A JSON string literal of `text`.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always has a JSON form")
}

/// The text that a JSON string literal stands for; `None` if `literal` is no string.
#[must_use]
pub fn unquoted(literal: &str) -> Option<Cow<'_, str>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(literal).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// The common case, decided without parsing: a string without escapes, or a plain integer.
fn is_canonical_scalar(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'"') => !bytes.contains(&b'\\'),
        Some(b'1'..=b'9') => bytes.len() <= 18 && bytes.iter().all(u8::is_ascii_digit),
        _ => matches!(text, "true" | "false" | "null" | "0"),
    }
}

fn write_canonical(text: &str, out: &mut String) {
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&quoted(name));
                out.push(':');
                write_canonical(value.get(), out);
            }
            out.push('}');
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            out.push('[');
            for (index, value) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(value.get(), out);
            }
            out.push(']');
        }
        Some(b'"') => out.push_str(&unquoted(text).map_or_else(|| text.into(), |s| quoted(&s))),
        Some(b'-' | b'0'..=b'9') => match Number::parse(text) {
            Some(number) => out.push_str(&number.to_string()),
            None => out.push_str(text), // beyond 28 + 28 digits: kept as it was written
        },
        _ => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_bytes() {
        for (left, right) in [
            (r#"{"b":1.0,"a":[1e2,"\u00e9"]}"#, r#"{ "a" : [ 100, "é" ], "b" : 1 }"#),
            ("\"a\\/b\"", "\"a/b\""),
            ("-0", "0"),
            (" {\"a\":1}\n", "{\"a\":1}"),
            ("12.50", "12.5"),
        ] {
            assert_eq!(Json::canonical(left), Json::canonical(right));
        }
        assert_ne!(Json::canonical("\"1\""), Json::canonical("1"));
    }

    #[test]
    fn canonical_text_is_its_own_canonical_form() {
        for text in [r#"{"a":[1,"x\n",null,true,-1.5],"b":{}}"#, "\"tab\\t\"", "[]", "1e99"] {
            let once = Json::canonical(text);
            assert_eq!(Json::canonical(once.as_str()), once);
        }
    }
}
