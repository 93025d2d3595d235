//! What every request goes through: counting, a net for panics, and a look at whom it was meant for.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::problem::{Problem, Word};
use super::{App, Hosts};

/// The outermost: counts requests by the route's template.
pub(super) async fn count(State(app): App, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let open = app.metrics.request(request.method(), request.extensions().get::<MatchedPath>());
    let mut response = next.run(request).await;
    // Answers carry what others sent: a browser is to take them for what they are said to be.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    open.answered(response.status(), began.elapsed());
    response
}

/// A panic ends its request, and no other.
pub(super) async fn catch_panic(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            Problem::internal("a panic ended the request: a bug in millpond, please report it; the log says where")
                .into_response()
        }
    }
}

/// Without tokens, no page of the web may get in through a visitor's browser: neither one whose own
/// name leads to this machine, nor one that only sends and does not look at the answer.
pub(super) async fn check_host(State(app): App, request: Request, next: Next) -> Response {
    if request.headers().get_all(header::HOST).iter().nth(1).is_some() {
        return Problem::bad_request("the header `Host` came twice; send it once").into_response();
    }
    if !app.access.is_guarded()
        && let Some(problem) = stranger(&request, &app.hosts)
    {
        return problem.into_response();
    }
    next.run(request).await
}

/// Why a request is refused that may come from a page of somebody else.
fn stranger(request: &Request, hosts: &Hosts) -> Option<Problem> {
    let text = |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let host = request.uri().host().or(text(header::HOST).map(without_port));
    let known = |name: &str| match hosts {
        Hosts::Only(allowed) => allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)),
        Hosts::Any => host.is_some_and(|host| host.eq_ignore_ascii_case(name)),
    };
    if let Some(host) = host.filter(|host| !known(host))
        && let Hosts::Only(allowed) = hosts
    {
        let host: String = host.chars().take(100).collect();
        let detail = format!(
            "the request is for the host `{host}`, and this server is {}; use one of these, or make tokens: then any name will do",
            allowed.join(", ")
        );
        return Some(Problem::new(Word::Misdirected, detail));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return None; // changes nothing, and no other page is let read the answer
    }
    let site = text(SEC_FETCH_SITE);
    // What is in front may have put another `Host` in place of the page's: the browser knows better.
    let sure = matches!(hosts, Hosts::Any) && site == Some("same-origin");
    let origin = text(header::ORIGIN).filter(|origin| !sure && !origin_host(origin).is_some_and(known));
    let site = site.filter(|site| matches!(*site, "cross-site" | "same-site"));
    let (name, value) = origin.map(|origin| ("Origin", origin)).or(site.map(|site| ("Sec-Fetch-Site", site)))?;
    let value: String = value.chars().take(100).collect();
    let detail = format!(
        "a page of somebody else sends this (`{name}: {value}`), which could be done to whoever visits it while there are no tokens; make tokens, or send it from a page of this server's host"
    );
    Some(Problem::new(Word::Forbidden, detail))
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Of `scheme://host:port`; `null`, and what is no web page's, has none.
fn origin_host(origin: &str) -> Option<&str> {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))?;
    Some(without_port(host))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

pub(super) async fn no_route(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::not_found(format!("there is no route `{path}`; `GET /openapi.json` describes those there are"))
}

/// `Allow` is added by the router.
pub(super) async fn no_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let method: String = method.as_str().chars().take(20).collect();
    let detail = format!("`{method}` cannot be done on this route; the header `Allow` names what can");
    Problem::new(Word::MethodNotAllowed, detail).into_response()
}

/// `GET /healthz`.
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// `GET /readyz`.
pub(super) async fn ready(State(app): App) -> Result<&'static str, Problem> {
    if *app.stopping.borrow() {
        return Err(Problem::new(Word::Unavailable, "the server is stopping; go to another one, or come back later"));
    }
    let joins = app.joins().await?;
    let silent: Vec<String> = joins.into_iter().filter(|(_, join)| join.is_err()).map(|(name, _)| name).collect();
    match silent.as_slice() {
        [] => Ok("ok"),
        silent => {
            let detail = format!(
                "not served now: {}; `GET /v1/joins` says whether they are made anew or have failed",
                silent.join(", ")
            );
            Err(Problem::new(Word::Unavailable, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn broken() -> StatusCode {
        panic!("on purpose")
    }

    /// Behind what protects it, by whatever name: a page that somebody visits is no less in there.
    #[test]
    fn a_server_of_any_name_takes_changes_from_its_own_pages() {
        let check = |headers: &[(&str, &str)], refused: bool| {
            let mut request = Request::post("/v1/joins/users/trim").header("host", "pond.example:7717");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(axum::body::Body::empty()).expect("it can be sent");
            let word = stranger(&request, &Hosts::Any).map(|problem| problem.word());
            assert_eq!(word, refused.then_some(Word::Forbidden), "{headers:?}");
        };
        check(&[], false);
        check(&[("origin", "https://POND.example")], false);
        check(&[("origin", "https://public.example"), ("sec-fetch-site", "same-origin")], false);
        check(&[("origin", "https://evil.example")], true);
        check(&[("sec-fetch-site", "cross-site")], true);
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_ends_nothing_else() {
        let router = Router::new().route("/", get(broken)).layer(from_fn(catch_panic));
        for _ in 0..2 {
            let answer = router.clone().oneshot(Request::<axum::body::Body>::default()).await.expect("it cannot fail");
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }
}
