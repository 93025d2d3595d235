//! The page: a few files that the program carries, so that a browser needs nothing but this server.
//! It shows what the API answers, and may do what the visitor's token may.

use std::borrow::Cow;
use std::io::Write;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::xxh3_64;

use super::App;
use super::problem::Problem;
use super::route::Content;
use super::tag::tagged;
use super::target::OfPage;

/// A file as it is in the folder `page/`.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal, $kind:ident) => {
        File { name: $name, kind: $kind, bytes: include_bytes!(concat!("../../page/", $name)) }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// What `GET /` gives.
const INDEX: &str = "index.html";

/// All files there are.
const FILES: [File; 22] = [
    file!("api.js", JAVASCRIPT),
    file!("charts.js", JAVASCRIPT),
    file!("definition.js", JAVASCRIPT),
    file!("dom.js", JAVASCRIPT),
    file!("icon.svg", SVG),
    file!("index.html", HTML),
    file!("key.js", JAVASCRIPT),
    file!("keys.js", JAVASCRIPT),
    file!("late.js", JAVASCRIPT),
    file!("overview.js", JAVASCRIPT),
    file!("page.css", CSS),
    file!("page.js", JAVASCRIPT),
    file!("quarantine.js", JAVASCRIPT),
    file!("queue.js", JAVASCRIPT),
    file!("theme.js", JAVASCRIPT),
    file!("timeline.js", JAVASCRIPT),
    file!("try.js", JAVASCRIPT),
    file!("uplot-LICENSE", TEXT),
    file!("uplot.css", CSS),
    file!("uplot.js", JAVASCRIPT),
    file!("value.js", JAVASCRIPT),
    file!("workbench.js", JAVASCRIPT),
];

/// The types of [`FILES`], for the OpenAPI document.
pub(super) const KINDS: &[(&str, Content)] = &[
    ("text/html", Content::Text),
    ("text/css", Content::Text),
    ("text/javascript", Content::Text),
    ("image/svg+xml", Content::Text),
    ("text/plain", Content::Text),
];
pub(super) const INDEX_KIND: &[(&str, Content)] = &[("text/html", Content::Text)];

/// Where the index says which join may be tried.
const TRY_IT: &str = "content=\"@try-it@\"";

/// Nothing from elsewhere, nothing inline, nothing that a text could become by mistake: what the page
/// shows was sent by strangers. And no other page may look at it, or be around it.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The files as they are served.
pub(crate) struct Page(Vec<Served>);

struct Served {
    name: &'static str,
    kind: &'static str,
    plain: Form,
    gzipped: Form,
}

/// A file as it is sent.
struct Form {
    tag: String,
    bytes: Bytes,
}

impl Form {
    fn new(bytes: Bytes) -> Self {
        Self { tag: format!("\"{:016x}\"", xxh3_64(&bytes)), bytes }
    }
}

impl Page {
    /// The page; it offers to send made-up events to the join `try_it`, if there is one.
    pub(crate) fn new(try_it: Option<&str>) -> Self {
        let served = |File { name, kind, bytes }: &File| {
            let bytes = match *name {
                INDEX => Bytes::from(index(bytes, try_it.unwrap_or_default())),
                _ => Bytes::from_static(bytes),
            };
            Served { name, kind, gzipped: Form::new(gzipped(&bytes)), plain: Form::new(bytes) }
        };
        Self(FILES.iter().map(served).collect())
    }

    fn answer(&self, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let file = self.0.iter().find(|file| file.name == name).ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            Problem::not_found(format!("the page has no file `{name}`; `GET /` is where it begins"))
        })?;
        let is_gzipped = takes_gzip(headers);
        let form = if is_gzipped { &file.gzipped } else { &file.plain };
        let whole = || {
            let mut whole = ([(header::CONTENT_TYPE, file.kind)], form.bytes.clone()).into_response();
            if is_gzipped {
                whole.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            whole
        };
        let mut answer = tagged(&form.tag, headers, whole);
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        Ok(answer)
    }
}

fn gzipped(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("memory takes everything").into()
}

/// Whether whoever asks reads gzip: names it, and not with a weight of nothing.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=').parse::<f32>();
        name.trim().eq_ignore_ascii_case("gzip") && weight != Ok(0.0)
    })
}

/// The names that there are.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.name)
}

/// The index with the name of a join in it: names of joins mean nothing to HTML, and others are left out.
fn index(bytes: &[u8], try_it: &str) -> Vec<u8> {
    let plain = try_it.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let name: Cow<'_, str> = if plain { try_it.into() } else { Cow::default() };
    let text = String::from_utf8_lossy(bytes);
    text.replace(TRY_IT, &format!("content=\"{name}\"")).into_bytes()
}

/// `GET /`.
pub(super) async fn start(State(app): App, headers: HeaderMap) -> Response {
    guarded(app.page.answer(INDEX, &headers))
}

/// `GET /page/{file}`.
pub(super) async fn file(State(app): App, OfPage(name): OfPage, headers: HeaderMap) -> Response {
    guarded(app.page.answer(&name, &headers))
}

fn guarded(answer: Result<Response, Problem>) -> Response {
    let mut response = answer.into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The page is to be there at once, and to stay in the program.
    const BYTES_MAX: usize = 75_000;

    #[test]
    fn every_file_of_the_folder_is_served_and_all_are_small() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let there: BTreeSet<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(there, names().map(str::to_owned).collect::<BTreeSet<_>>());
        let bytes: usize = Page::new(None).0.iter().map(|file| file.gzipped.bytes.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes; at most {BYTES_MAX}");
        assert!(FILES.iter().all(|file| !file.bytes.is_empty()));
    }

    #[test]
    fn who_reads_gzip_is_sent_less_and_everybody_the_same_page() {
        let page = Page::new(None);
        let answer = |codings: Option<&'static str>, known: Option<&str>| {
            let mut headers = HeaderMap::new();
            codings.map(|codings| headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings)));
            known.map(|known| headers.insert(header::IF_NONE_MATCH, known.parse().unwrap()));
            page.answer("page.css", &headers).unwrap()
        };
        let said = |answer: &Response, name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        for (codings, encoding) in [
            (None, None),
            (Some("br, gzip"), Some("gzip")),
            (Some("gzip;q=0"), None),
            (Some("gzip; Q=0.00"), None),
            (Some("identity"), None),
        ] {
            let whole = answer(codings, None);
            assert_eq!(said(&whole, header::CONTENT_ENCODING).as_deref(), encoding, "{codings:?}");
            assert_eq!(said(&whole, header::VARY).as_deref(), Some("accept-encoding"));
            let known = said(&whole, header::ETAG).unwrap();
            assert_eq!(answer(codings, Some(&known)).status(), 304);
            let other = if encoding.is_some() { None } else { Some("gzip") };
            assert_eq!(answer(other, Some(&known)).status(), 200, "the other form is another one");
        }
        let file = page.0.iter().find(|file| file.name == "page.css").unwrap();
        let mut plain = Vec::new();
        std::io::copy(&mut flate2::read::GzDecoder::new(&*file.gzipped.bytes), &mut plain).unwrap();
        assert!(plain == file.plain.bytes && file.gzipped.bytes.len() < plain.len());
    }

    #[test]
    fn the_types_of_all_files_are_documented() {
        let known = |file: &File| KINDS.iter().any(|(kind, _)| file.kind.split(';').next() == Some(kind));
        assert!(FILES.iter().all(known));
    }

    #[test]
    fn what_is_known_of_one_join_is_not_taken_for_another() {
        let tags = |try_it| Page::new(try_it).0.into_iter().map(|file| file.plain.tag).collect::<Vec<_>>();
        assert_eq!(tags(None), tags(Some("")));
        let differ = tags(None).iter().zip(tags(Some("users"))).filter(|(a, b)| *a != b).count();
        assert_eq!(differ, 1, "only the index names it");
    }

    #[test]
    fn the_index_names_the_join_to_try_and_takes_nothing_else_for_one() {
        let bytes = FILES.iter().find(|file| file.name == INDEX).unwrap().bytes;
        assert_eq!(std::str::from_utf8(bytes).unwrap().matches(TRY_IT).count(), 1);
        let has = |try_it: &str, text: &str| String::from_utf8(index(bytes, try_it)).unwrap().contains(text);
        assert!(has("user-activity", "content=\"user-activity\"") && has("", "content=\"\""));
        assert!(has("\"><script>", "content=\"\"") && !has("\"><script>", "<script>"));
    }
}
