//! What is known of an operation: enough to route, guard, check and document it.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::{MethodFilter, MethodRouter};
use utoipa::openapi::HttpMethod;

use super::State;
use super::problem::Word;
use super::query::Param;
use crate::access::Scope;

/// One operation.
pub(super) struct Route {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    /// None: open to all.
    pub(super) scope: Option<Scope>,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) params: &'static [Param],
    pub(super) takes: Takes,
    pub(super) gives: Vec<Gives>,
    /// Beside those that every operation of its kind has.
    pub(super) refuses: &'static [Word],
    pub(super) handler: fn(MethodFilter) -> MethodRouter<Arc<State>>,
}

/// A request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Events,
    LateChoice,
    Definition,
    Preview,
}

/// An answer.
pub(super) struct Gives {
    pub(super) status: StatusCode,
    pub(super) about: &'static str,
    pub(super) content: &'static [(&'static str, Content)],
}

/// What an answer's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A schema of the components.
    Schema(&'static str),
    /// Any JSON object.
    Object,
    Text,
    /// An event of a stream of changes.
    Change,
    Bytes,
}

impl Route {
    pub(super) fn methods(&self) -> MethodRouter<Arc<State>> {
        (self.handler)(match self.method {
            HttpMethod::Post => MethodFilter::POST,
            HttpMethod::Put => MethodFilter::PUT,
            HttpMethod::Delete => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        })
    }

    pub(super) fn params(self, params: &'static [Param]) -> Self {
        Self { params, ..self }
    }

    pub(super) fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    pub(super) fn gives(
        mut self,
        status: StatusCode,
        about: &'static str,
        content: &'static [(&'static str, Content)],
    ) -> Self {
        self.gives.push(Gives { status, about, content });
        self
    }

    pub(super) fn refuses(self, refuses: &'static [Word]) -> Self {
        Self { refuses, ..self }
    }
}
