//! Entity tags: an answer that the asker has already is not sent again.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The answer with its tag, or 304 if `If-None-Match` names it. `tag` is in quotes.
pub(super) fn tagged(tag: &str, headers: &HeaderMap, answer: impl FnOnce() -> Response) -> Response {
    let mut response = match is_known(tag, headers) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => answer(),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("digits in quotes are a header's value"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|list| list.split(',')).map(str::trim);
    let mut tags = known.map(|tag| tag.strip_prefix("W/").unwrap_or(tag));
    tags.any(|known| known == tag || known == "*")
}
