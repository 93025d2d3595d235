//! What a path names: a join, and in it a key or an entry. Names are looked up, never put into
//! paths of files.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::State;
use super::problem::Problem;
use crate::service::Hosted;

/// The longest key in a path, in characters. Longer ones than an event may have are never found.
pub(super) const KEY_CHARACTERS_MAX: usize = 1_024;

/// The join's name, whether it is served or not.
pub(super) struct Name(pub(super) String);

/// A join that is served.
pub(super) struct OfJoin(pub(super) Arc<Hosted>);

/// A key in a join; it need not have a view.
pub(super) struct OfKey(pub(super) Arc<Hosted>, pub(super) String);

/// An entry's id in a join; there need not be such an entry.
pub(super) struct OfEntry(pub(super) Arc<Hosted>, pub(super) String);

/// The name of a file of the page; there need not be such a file.
pub(super) struct OfPage(pub(super) String);

impl FromRequestParts<Arc<State>> for OfPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<State>) -> Result<Self, Problem> {
        Ok(Self(named(parts, app, "file").await?))
    }
}

impl FromRequestParts<Arc<State>> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<State>) -> Result<Self, Problem> {
        Ok(Self(named(parts, app, "join").await?))
    }
}

impl FromRequestParts<Arc<State>> for OfJoin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<State>) -> Result<Self, Problem> {
        Ok(Self(app.service.join(&named(parts, app, "join").await?)?))
    }
}

impl FromRequestParts<Arc<State>> for OfKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<State>) -> Result<Self, Problem> {
        let key = named(parts, app, "key").await?;
        Ok(Self(OfJoin::from_request_parts(parts, app).await?.0, key))
    }
}

impl FromRequestParts<Arc<State>> for OfEntry {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<State>) -> Result<Self, Problem> {
        let id = named(parts, app, "id").await?;
        Ok(Self(OfJoin::from_request_parts(parts, app).await?.0, id))
    }
}

async fn named(parts: &mut Parts, app: &Arc<State>, name: &str) -> Result<String, Problem> {
    let params = RawPathParams::from_request_parts(parts, app).await.map_err(|_| {
        Problem::bad_request("the path is not UTF-8 once its %-escapes are read; encode names as UTF-8 and escape that")
    })?;
    let value = params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
    if let Some(fault) = fault_of_text(value, KEY_CHARACTERS_MAX) {
        return Err(Problem::bad_request(format!("the {name} in the path {fault}")));
    }
    Ok(value.to_owned())
}

/// What is wrong with a text that is to name something, or part of it.
pub(super) fn fault_of_text(text: &str, characters_max: usize) -> Option<String> {
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Some("has a control character in it; no key or id has any".to_owned());
    }
    let characters = text.chars().count();
    (characters > characters_max).then(|| format!("has {characters} characters; at most {characters_max}"))
}
