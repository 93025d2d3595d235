//! A CloudEvent in binary mode as the structured text that is stored, by the HTTP binding 1.0.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, header};
use millpond_core::json::quoted;
use percent_encoding::percent_decode;
use serde::de::IgnoredAny;

/// The structured form of a request whose headers carry an event's attributes.
///
/// # Errors
/// What is wrong with a header, for the sender.
pub(super) fn structured(headers: &HeaderMap, data: &[u8]) -> Result<String, String> {
    let mut text = String::with_capacity(data.len() + 256);
    text.push('{');
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(format!("the header `{name}` came twice; send it once"));
        }
        if matches!(attribute, "data" | "data_base64" | "datacontenttype") {
            return Err(format!("the header `{name}` is no attribute: data is the body, its type is Content-Type"));
        }
        member(&mut text, attribute, &quoted(&decoded(name.as_str(), value)?));
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map(|value| plain("content-type", value)).transpose()?;
    if let Some(content_type) = &content_type {
        member(&mut text, "datacontenttype", &quoted(content_type));
    }
    if !data.is_empty() {
        put_data(&mut text, content_type.as_deref().unwrap_or("application/json"), data)?;
    }
    text.push('}');
    Ok(text)
}

fn member(text: &mut String, name: &str, json: &str) {
    if text.len() > 1 {
        text.push(',');
    }
    text.push_str(&quoted(name));
    text.push(':');
    text.push_str(json);
}

fn put_data(text: &mut String, content_type: &str, data: &[u8]) -> Result<(), String> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind.ends_with("/json") || kind.ends_with("+json") {
        serde_json::from_slice::<IgnoredAny>(data)
            .map_err(|error| format!("the body is not JSON, as its type says: {error}"))?;
        let json = std::str::from_utf8(data).map_err(|_| "the body is not UTF-8, as JSON must be".to_owned())?;
        member(text, "data", json.trim());
        return Ok(());
    }
    match std::str::from_utf8(data) {
        Ok(plain) if kind.starts_with("text/") => member(text, "data", &quoted(plain)),
        _ => member(text, "data_base64", &quoted(&base64(data))),
    }
    Ok(())
}

/// An attribute's value, as section 3.1.3.2 of the binding has it: quotes go first, then percent-encoding, once.
fn decoded(name: &str, value: &HeaderValue) -> Result<String, String> {
    let unquoted = unquoted(value.as_bytes());
    let decoded = percent_decode(&unquoted).decode_utf8();
    let decoded = decoded.map_err(|_| format!("the header `{name}` is not UTF-8; percent-encode what is not ASCII"))?;
    Ok(decoded.into_owned())
}

/// What a quoted string of HTTP says; anything else is what it is.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = value.strip_prefix(b"\"") else { return value.into() };
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if bytes.len() == 0 => return text.into(),
            b'"' => break,
            b'\\' => text.extend(bytes.next()),
            byte => text.push(*byte),
        }
    }
    value.into() // not closed, or closed too early
}

/// `Content-Type` is what it is: nothing in it is percent-encoded.
fn plain(name: &str, value: &HeaderValue) -> Result<String, String> {
    let text = std::str::from_utf8(value.as_bytes());
    text.map(str::to_owned).map_err(|_| format!("the header `{name}` is not UTF-8; send a type of ASCII"))
}

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], data: &[u8], expected: Result<&str, &str>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        match (structured(&map, data), expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(told), Err(expected)) => assert!(told.contains(expected), "{told}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn attributes_and_extensions_are_kept_and_data_goes_in_as_it_is() {
        check(
            &[
                ("ce-specversion", "1.0"),
                ("ce-id", "a%20%C3%A9"),
                ("ce-myext", "7"),
                ("content-type", "application/json"),
                ("accept", "x"),
            ],
            b" {\"a\": 1.50} ",
            Ok(
                r#"{"specversion":"1.0","id":"a é","myext":"7","datacontenttype":"application/json","data":{"a": 1.50}}"#,
            ),
        );
        check(&[("ce-id", "1")], b"", Ok(r#"{"id":"1"}"#));
        check(&[("ce-id", "\"q\"")], b"[1]", Ok(r#"{"id":"q","data":[1]}"#));
        check(
            &[("ce-id", "1"), ("content-type", "text/plain")],
            b"a\"b",
            Ok(r#"{"id":"1","datacontenttype":"text/plain","data":"a\"b"}"#),
        );
        check(
            &[("ce-id", "1"), ("content-type", "image/png")],
            b"\xff\x00",
            Ok(r#"{"id":"1","datacontenttype":"image/png","data_base64":"/wA="}"#),
        );
    }

    #[test]
    fn quotes_go_before_percent_encoding_which_is_read_once() {
        for (sent, id) in [
            ("%22q%22", r#"\"q\""#),
            (r#""%22q%22""#, r#"\"q\""#),
            (r#""a\"b\\c\d""#, r#"a\"b\\cd"#),
            (r#""a%2520b""#, "a%20b"),
            (r#""a"b""#, r#"\"a\"b\""#),
            (r#""a"#, r#"\"a"#),
            (r#""a\""#, r#"\"a\\\""#),
            (r#""""#, ""),
            (r#"a\b"#, r#"a\\b"#),
        ] {
            let mut map = HeaderMap::new();
            map.append("ce-id", HeaderValue::from_str(sent).expect("it can be sent"));
            assert_eq!(structured(&map, b""), Ok(format!("{{\"id\":\"{id}\"}}")), "{sent}");
        }
        check(
            &[("ce-id", "1"), ("content-type", "text/plain;a=%41")],
            b"x",
            Ok(r#"{"id":"1","datacontenttype":"text/plain;a=%41","data":"x"}"#),
        );
    }

    #[test]
    fn what_cannot_be_put_together_is_refused() {
        check(&[("ce-id", "1"), ("ce-id", "2")], b"", Err("twice"));
        check(&[("ce-id", "%ff")], b"", Err("UTF-8"));
        check(&[("ce-data", "x")], b"", Err("no attribute"));
        check(&[("ce-id", "1"), ("content-type", "application/a+json")], b"{", Err("not JSON"));
    }

    #[test]
    fn base64_is_the_standards() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
