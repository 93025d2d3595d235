//! Access: who may do what. Tokens with scopes, stored hashed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Giving events.
    Ingest,
    /// Reading views, history, queues, counts.
    Read,
    /// Snapshots, trims, decisions about late and quarantined events, erasure, joins.
    Admin,
}

/// The live tokens; without any, everyone may do everything.
#[derive(Debug, Default)]
pub(crate) struct Access {}

/// The middleware of every guarded route: `route_layer(from_fn_with_state((access, scope), guard))`.
pub(crate) async fn guard(State(_asked): State<(Arc<Access>, Scope)>, request: Request, next: Next) -> Response {
    next.run(request).await
}
