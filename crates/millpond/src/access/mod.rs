//! Access: who may do what. Tokens with scopes, stored hashed; without any, whoever reaches the
//! server may do everything, which is why it then listens to this machine only.

mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::edge::{Peer, Sparse};
use crate::http::{Problem, Word};
use crate::watched::Watched;
pub(crate) use tokens::{Added, Stamp, Tokens};

/// What a route asks for. None holds another: a token has those it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Give events
    Ingest,
    /// Read views, history, queues, counts
    Read,
    /// Snapshots, trims, decisions about late and quarantined events, erasure, joins
    Admin,
}

impl Scope {
    /// As it is written in files, commands and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// What a request is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Go on.
    Allowed,
    /// No token came, or none that is known.
    Unknown,
    /// The token is good, but not for this.
    Lacks(Scope),
}

/// The live tokens, as a running server knows them.
#[derive(Debug)]
pub(crate) struct Access {
    dir: PathBuf,
    known: Watched<Known, Option<Stamp>>,
    denied: Mutex<Sparse>,
}

#[derive(Debug)]
struct Known {
    tokens: Tokens,
    /// Once there was a token, having none lets nobody in: only a new start opens a server.
    guarded: bool,
}

impl Access {
    /// The tokens of a data folder.
    ///
    /// # Errors
    /// If there is a file of tokens that cannot be read or understood.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let known = Watched::new("the tokens", Known::read(dir, false)?);
        Ok(Self { dir: dir.to_owned(), known, denied: Mutex::default() })
    }

    /// Whether nobody is let in without a token.
    pub(crate) fn is_guarded(&self) -> bool {
        self.known.known().guarded
    }

    /// Whether a request with this `Authorization` may do what takes the scope.
    pub(crate) fn decide(&self, authorization: Option<&HeaderValue>, asked: Scope) -> Decision {
        let known = self.known.current(|| Tokens::stamp(&self.dir), |known| Known::read(&self.dir, known.guarded));
        if !known.guarded {
            return Decision::Allowed;
        }
        match authorization.and_then(bearer).and_then(|token| known.tokens.scopes_of(token)) {
            None => Decision::Unknown,
            Some(scopes) if scopes.contains(&asked) => Decision::Allowed,
            Some(_) => Decision::Lacks(asked),
        }
    }
}

impl Known {
    fn read(dir: &Path, was_guarded: bool) -> Result<(Self, Option<Stamp>)> {
        let (tokens, stamp) = Tokens::read(dir)?;
        ensure!(stamp.is_some() || !was_guarded, "{} is gone", Tokens::path(dir).display());
        let guarded = was_guarded || !tokens.is_empty();
        Ok((Self { tokens, guarded }, stamp))
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The middleware of every guarded route: `route_layer(from_fn_with_state((access, scope), guard))`.
pub(crate) async fn guard(
    State((access, scope)): State<(Arc<Access>, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    let decision = access.decide(request.headers().get(header::AUTHORIZATION), scope);
    if decision == Decision::Allowed {
        return next.run(request).await;
    }
    if let Some(times) = access.denied.lock().unwrap_or_else(PoisonError::into_inner).tell() {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_string());
        // Not the path, which may have a key in it.
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        tracing::warn!(peer, route, scope = scope.name(), times, "denied");
    }
    refusal(decision, scope)
}

fn refusal(decision: Decision, scope: Scope) -> Response {
    let scope = scope.name();
    let (problem, challenge) = match decision {
        Decision::Lacks(_) => (
            Problem::new(
                Word::Forbidden,
                format!(
                    "this needs a token with the scope `{scope}`: `millpond token add NAME --scope {scope}` makes one"
                ),
            ),
            format!("Bearer realm=\"millpond\", error=\"insufficient_scope\", scope=\"{scope}\""),
        ),
        _ => (
            Problem::new(
                Word::Unauthorized,
                format!(
                    "send `Authorization: Bearer TOKEN` with a token of the scope `{scope}`; the one that came, if any, is not known"
                ),
            ),
            "Bearer realm=\"millpond\"".to_owned(),
        ),
    };
    ([(header::WWW_AUTHENTICATE, challenge)], problem).into_response()
}

#[cfg(test)]
mod tests;
