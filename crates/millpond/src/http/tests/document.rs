//! The OpenAPI document: what is committed, what is served, and what the routes do, agree.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::super::{openapi, routes};
use super::{Limits, USERS, served, served_with};
use crate::access::{Scope, Tokens};

const LIMITS: Limits = Limits { body_bytes_max: 100_000, events_max: 10, inflight_bytes_max: 1 << 20 };

#[test]
fn the_committed_document_is_the_served_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("MILLPOND_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, openapi::text()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == openapi::text(), "docs/openapi.json is old: run this test with MILLPOND_WRITE_OPENAPI=1");
}

#[test]
fn every_schema_that_is_named_is_there() {
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

fn filled(path: &str) -> String {
    path.replace("{join}", "users").replace("{key}", "u").replace("{id}", &"0".repeat(32)).replace("{file}", "page.js")
}

/// Every operation with its path filled in, and the scope that the document says it takes.
fn operations() -> Vec<(String, String, Option<String>)> {
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["token"][0].as_str().map(str::to_owned);
            operations.push((method.to_uppercase(), filled(path), scope));
        }
    }
    operations
}

#[test]
fn every_operation_has_a_scope_or_is_one_of_the_open_ones() {
    let operations = operations();
    assert_eq!(operations.len(), routes::table().len());
    let open: Vec<&str> =
        operations.iter().filter(|(_, _, scope)| scope.is_none()).map(|(_, path, _)| path.as_str()).collect();
    assert_eq!(open, ["/", "/healthz", "/openapi.json", "/page/page.js", "/readyz"]);
}

#[tokio::test]
async fn a_token_reaches_what_its_scope_says_and_nothing_else() {
    let mut secrets = Vec::new();
    let pond = served_with(&[USERS], LIMITS, |dir| {
        for scope in [Scope::Ingest, Scope::Read, Scope::Admin] {
            secrets.push((scope.name(), Tokens::add(dir.path(), scope.name(), &[scope], 1).unwrap().secret));
        }
    });
    for (method, path, asked) in operations() {
        let nobody = pond.ask(&method, &path, &[], "").await;
        match &asked {
            Some(_) => {
                assert_eq!(nobody.status.as_u16(), 401, "{method} {path}");
                assert!(nobody.header("www-authenticate").starts_with("Bearer"));
            }
            None => assert_eq!(nobody.status.as_u16(), 200, "{method} {path}"),
        }
        for (scope, secret) in secrets.iter().filter(|(scope, _)| asked.as_deref().is_some_and(|asked| asked != *scope))
        {
            let header = format!("Bearer {secret}");
            let denied = pond.ask(&method, &path, &[("authorization", &header)], "").await;
            assert_eq!(denied.status.as_u16(), 403, "{method} {path} as {scope}");
        }
    }
    let read = format!("Bearer {}", secrets[1].1);
    let headers = [("authorization", read.as_str()), ("host", "any.example")];
    let answer = pond.ask("GET", "/v1/joins", &headers[..1], "").await;
    assert_eq!(answer.status.as_u16(), 200);
}

#[tokio::test]
async fn every_answer_to_a_plain_request_is_declared() {
    let pond = served(&[USERS]);
    let document = pond.get("/openapi.json").await.ok();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // It would never end; and the join is still needed.
            if path.starts_with("/v1/changes") || (method == "delete" && path == "/v1/joins/{join}") {
                continue;
            }
            let answer = pond.ask(&method.to_uppercase(), &filled(path), &[], "").await;
            let declared = &operation["responses"][answer.status.as_str()];
            assert!(declared.is_object(), "{method} {path}: {} is not declared", answer.status);
            let content_type = answer.header("content-type").replace("; charset=utf-8", "");
            let known = declared["content"].as_object().unwrap().keys().any(|known| known.starts_with(&content_type));
            assert!(known, "{method} {path}: {content_type}");
        }
    }
}

#[test]
fn the_page_lists_the_words_that_there_are() {
    use super::super::problem::Word;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http.md");
    let page = std::fs::read_to_string(path).unwrap();
    let rows = page.lines().filter_map(|line| {
        let (status, rest) = line.strip_prefix("| ")?.split_once(" | `")?;
        Some((status.parse::<u16>().ok()?, rest.split('`').next()?))
    });
    let words = Word::ALL.iter().map(|word| (word.status().as_u16(), word.code()));
    assert_eq!(rows.collect::<BTreeSet<_>>(), words.collect::<BTreeSet<_>>());
}
