//! Which problems an operation may answer.

use std::collections::BTreeMap;

use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, Response, ResponseBuilder};

use super::super::problem::Word;
use super::super::route::{Route, Takes};
use super::parameters::{names_in, string};

/// The problems an operation may answer, by status.
pub(super) fn problems(route: &Route) -> BTreeMap<&'static str, Vec<Word>> {
    // A path or query that is not UTF-8, or a parameter that nobody knows, can come anywhere.
    let mut words = vec![Word::BadRequest, Word::Misdirected, Word::Internal];
    if route.scope.is_some() {
        words.extend([Word::Unauthorized, Word::Forbidden]);
    }
    if names_in(route.path).next().is_some() {
        words.push(Word::NotFound);
    }
    if names_in(route.path).any(|name| name == "join") {
        words.extend([Word::Unavailable, Word::Rebuilding]);
    }
    if route.takes != Takes::Nothing {
        words.extend([Word::Timeout, Word::TooLarge, Word::UnsupportedMediaType, Word::TooMany]);
    }
    words.extend(route.refuses);
    words.sort_unstable();
    words.dedup();
    let mut by_status: BTreeMap<&'static str, Vec<Word>> = BTreeMap::new();
    for word in words {
        by_status.entry(status_text(word)).or_default().push(word);
    }
    by_status
}

fn status_text(word: Word) -> &'static str {
    match word.status().as_u16() {
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        421 => "421",
        422 => "422",
        429 => "429",
        503 => "503",
        _ => "500",
    }
}

pub(super) fn problem(words: &[Word]) -> Response {
    let titles: Vec<String> =
        words.iter().map(|word| format!("{} (`urn:millpond:{}`)", word.title(), word.code())).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response =
        ResponseBuilder::new().description(titles.join("; ")).content("application/problem+json", content);
    let header = |about: &str| HeaderBuilder::new().schema(Some(string())).description(Some(about)).build();
    if words.iter().any(|word| matches!(word, Word::TooMany | Word::Unavailable | Word::Rebuilding)) {
        response = response.header("Retry-After", header("Seconds after which to try again"));
    }
    if words.iter().any(|word| matches!(word, Word::Unauthorized | Word::Forbidden)) {
        response = response.header("WWW-Authenticate", header("What the server asks for"));
    }
    response.build()
}
