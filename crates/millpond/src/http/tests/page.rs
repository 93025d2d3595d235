//! The page: served to anybody, and able to do nothing that the API does not allow.

use axum::body::Body;
use axum::http::Request;

use super::{USERS, served, served_with};
use crate::access::{Scope, Tokens};

#[tokio::test]
async fn the_page_is_served_without_a_token_and_allows_nothing_from_elsewhere() {
    let pond = served_with(&[USERS], super::LIMITS, |dir| {
        Tokens::add(dir.path(), "reader", &[Scope::Read], 1).unwrap();
    });
    assert_eq!(pond.get("/v1/joins").await.status.as_u16(), 401);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page/index.html", "text/html; charset=utf-8"),
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/page.js", "text/javascript; charset=utf-8"),
    ] {
        let whole = pond.get(path).await;
        assert_eq!((whole.status.as_u16(), whole.header("content-type"), whole.body.is_empty()), (200, kind, false));
        let tag = whole.header("etag").to_owned();
        let known = pond.ask("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!((known.status.as_u16(), known.body.len(), known.header("etag")), (304, 0, tag.as_str()), "{path}");
        let other = pond.ask("GET", path, &[("if-none-match", "\"0\"")], "").await;
        assert_eq!(other.status.as_u16(), 200);
        let missing = pond.get("/page/nothing").await;
        for answer in [whole, known, missing] {
            let policy = answer.header("content-security-policy");
            for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"] {
                assert!(policy.split("; ").any(|known| known == rule), "{policy}");
            }
            assert!(!policy.contains("unsafe"));
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
            assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
            assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
    let first = pond.get("/").await;
    assert_eq!(first.header("cache-control"), "no-cache");
    assert!(first.text().contains("content=\"users\""), "{}", first.text());
}

#[tokio::test]
async fn a_page_for_another_host_is_not_given() {
    let pond = served(&[USERS]);
    let request = Request::get("/").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(pond.send(request).await.status.as_u16(), 421);
}
