//! `GET /v1/duplicates/{join}`: which repeats came lately.

use axum::response::Response;
use millpond_client::wire::{DuplicateEntry, DuplicateList};
use millpond_store::Duplicate;

use super::json;
use super::problem::Problem;
use super::query::Query;
use super::target::OfJoin;

/// The handler.
pub(super) async fn list(OfJoin(join): OfJoin, query: Query) -> Result<Response, Problem> {
    let (key, limit) = (query.text("key").map(str::to_owned), query.limit());
    let since = join.since();
    let newest = join.run(move |store| store.duplicates(key.as_deref(), limit)).await?;
    let entry = |Duplicate { key, position, received_at }: Duplicate| DuplicateEntry {
        key: key.into(),
        position: position.to_string(),
        received_at,
    };
    json(&DuplicateList { duplicates: newest.into_iter().map(entry).collect(), since })
}
