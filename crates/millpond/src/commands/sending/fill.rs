//! Events without an id or a timestamp get one; everything else in them stays byte for byte.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, IgnoredAny};
use uuid::{ContextV7, Timestamp, Uuid};

/// Which members an event has.
#[derive(serde::Deserialize)]
struct Members {
    #[serde(default, deserialize_with = "present")]
    id: bool,
    #[serde(default, deserialize_with = "present")]
    timestamp: bool,
    #[serde(default, deserialize_with = "present")]
    time: bool,
    /// CloudEvents: its time is text.
    #[serde(default, deserialize_with = "present")]
    specversion: bool,
    /// EventBridge: the same.
    #[serde(default, rename = "detail-type", deserialize_with = "present")]
    detail_type: bool,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// The event with an id and a time of its own. What is no object stays as it is.
pub(super) fn fill(event: &[u8], now_ms: u64) -> Cow<'_, [u8]> {
    let start = event.iter().position(|byte| !byte.is_ascii_whitespace());
    let Some(open) = start.filter(|start| event[*start] == b'{') else { return Cow::Borrowed(event) };
    let Ok(members) = serde_json::from_slice::<Members>(event) else { return Cow::Borrowed(event) };
    let mut missing = Vec::new();
    if !members.id {
        let seconds = Timestamp::from_unix(ContextV7::new(), now_ms / 1000, (now_ms % 1000) as u32 * 1_000_000);
        missing.push(format!("\"id\":\"{}\"", Uuid::new_v7(seconds)));
    }
    if members.specversion || members.detail_type {
        let instant = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        missing.extend(instant.filter(|_| !members.time).map(|instant| format!("\"time\":\"{instant}\"")));
    } else if !members.timestamp {
        missing.push(format!("\"timestamp\":{now_ms}"));
    }
    if missing.is_empty() {
        return Cow::Borrowed(event);
    }
    let (before, rest) = event.split_at(open + 1);
    let has_members = rest.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'}');
    let comma: &[u8] = if has_members { b"," } else { b"" };
    Cow::Owned([before, missing.join(",").as_bytes(), comma, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The filled event, with its made-up id shown as `ID`.
    fn filled(event: &str) -> String {
        let text = String::from_utf8(fill(event.as_bytes(), 1_760_000_000_123).into_owned()).expect("it is text");
        match text.split_once("\"id\":\"0") {
            Some((before, after)) => format!("{before}\"id\":\"ID{}", &after[35..]),
            None => text,
        }
    }

    #[test]
    fn what_is_missing_is_put_in_front_and_the_rest_stays() {
        for (event, expected) in [
            (r#"{"a" : 1.0 }"#, r#"{"id":"ID","timestamp":1760000000123,"a" : 1.0 }"#),
            (" { }", r#" {"id":"ID","timestamp":1760000000123 }"#),
            (r#"{"id":"e","a":{"timestamp":1}}"#, r#"{"timestamp":1760000000123,"id":"e","a":{"timestamp":1}}"#),
            (r#"{"timestamp":5}"#, r#"{"id":"ID","timestamp":5}"#),
            (
                r#"{"specversion":"1.0","id":"e"}"#,
                r#"{"time":"2025-10-09T08:53:20.123Z","specversion":"1.0","id":"e"}"#,
            ),
            (r#"{"detail-type":"x","time":"t"}"#, r#"{"id":"ID","detail-type":"x","time":"t"}"#),
        ] {
            assert_eq!(filled(event), expected, "{event}");
        }
    }

    #[test]
    fn what_is_there_is_kept_even_if_it_is_wrong() {
        for event in [r#"{"id":null,"timestamp":"x"}"#, "[1]", "{\"a\":", "7", "", r#"{"id":"a","id":"b"}"#] {
            assert_eq!(filled(event), event);
        }
    }

    #[test]
    fn ids_made_in_the_same_moment_differ() {
        assert_ne!(fill(b"{}", 1).into_owned(), fill(b"{}", 1).into_owned());
    }
}
