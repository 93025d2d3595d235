//! Snapshots, trims and erasure when somebody asks for them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use millpond_client::wire;
use millpond_store::{Error, Store};

use super::problem::Problem;
use super::target::{OfJoin, OfKey};
use super::{App, json};
use crate::service::Hosted;

/// Keys of one commit: others get their turn in between.
const STEP: usize = 64;

/// `POST /v1/views/{join}/{key}/snapshot`.
pub(super) async fn snapshot(State(app): App, OfKey(join, key): OfKey) -> Result<Response, Problem> {
    let now = (app.clock)();
    let missing = no_view(&join, &key);
    let made = join.run(move |store| if_viewed(store, &key, |store| store.snapshot(&[&key], now))).await?;
    let made = made.and_then(|made| made.into_iter().next()).ok_or(missing)?;
    json(&wire::Snapshotted { closed: made.closed, events: made.events, tail: made.tail_events })
}

/// `POST /v1/views/{join}/{key}/trim`.
pub(super) async fn trim(OfKey(join, key): OfKey) -> Result<Response, Problem> {
    let missing = no_view(&join, &key);
    let trimmed = join.run(move |store| if_viewed(store, &key, |store| store.trim(&[&key]))).await?.ok_or(missing)?;
    json(&wire::Trimmed { trimmed: trimmed.into_iter().sum() })
}

fn if_viewed<R>(store: &Store, key: &str, work: impl FnOnce(&Store) -> Result<R, Error>) -> Result<Option<R>, Error> {
    match store.view(key)? {
        Some(_) => work(store).map(Some),
        None => Ok(None),
    }
}

fn no_view(join: &Hosted, key: &str) -> Problem {
    let join = join.name();
    Problem::not_found(format!("no event of `{join}` has the key `{key}`; `GET /v1/views/{join}` lists its keys"))
}

/// `POST /v1/joins/{join}/snapshot`: how many new snapshots there are.
pub(super) async fn snapshot_all(State(app): App, OfJoin(join): OfJoin) -> Result<Response, Problem> {
    let now = (app.clock)();
    each_page(&join, move |store, keys| Ok(store.snapshot(keys, now)?.iter().filter(|made| made.closed).count() as u64))
        .await
}

/// `POST /v1/joins/{join}/trim`: how many rows are gone.
pub(super) async fn trim_all(OfJoin(join): OfJoin) -> Result<Response, Problem> {
    each_page(&join, |store, keys| Ok(store.trim(keys)?.iter().sum())).await
}

async fn each_page(
    join: &Arc<Hosted>,
    work: impl Fn(&Store, &[&str]) -> Result<u64, Error> + Copy + Send + 'static,
) -> Result<Response, Problem> {
    let (mut done, mut after) = (0, None);
    loop {
        let from: Option<String> = after;
        let step = move |store: &Store| {
            let keys = store.keys("", from.as_deref(), STEP)?;
            let page: Vec<&str> = keys.iter().map(String::as_str).collect();
            let done = work(store, &page)?;
            Ok((done, keys.into_iter().next_back()))
        };
        let (some, last) = join.run(step).await?;
        done += some;
        if last.is_none() {
            return json(&wire::Done { done });
        }
        after = last;
    }
}

/// `DELETE /v1/views/{join}/{key}`.
pub(super) async fn erase(State(app): App, OfKey(join, key): OfKey) -> Result<Response, Problem> {
    let name = join.name();
    let missing = Problem::not_found(format!("nothing is stored of the key `{key}` in `{name}`: nothing had to go"));
    let (now, asked) = ((app.clock)(), key.clone());
    let done = join.run(move |store| store.erase(&asked, now)).await?.ok_or(missing)?;
    json(&wire::Erased {
        key,
        view: done.view,
        snapshot: done.snapshot,
        events: done.events,
        late: done.late,
        quarantined: done.quarantined,
        quarantine_mentions: done.quarantine_mentions,
        also_at: done.also_at,
        compacted: done.compacted,
    })
}
