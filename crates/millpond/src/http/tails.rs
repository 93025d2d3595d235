//! `GET /v1/joins/{join}/tails`: how many events the keys have after their snapshots.

use std::sync::Arc;

use axum::response::Response;
use millpond_client::wire::{LongestTail, TailBucket, Tails};

use super::json;
use super::problem::Problem;
use super::query::Query;
use super::target::OfJoin;
use crate::service::{Hosted, Refused};

/// Keys looked at for one answer.
const KEYS_MAX: usize = 10_000;
/// Keys read at once: others get their turn with the store in between, and their states are held together.
const STEP: usize = 50;

/// The handler.
pub(super) async fn tails(OfJoin(join): OfJoin, query: Query) -> Result<Response, Problem> {
    json(&gather(&join, query.text("after").map(str::to_owned)).await?)
}

async fn gather(join: &Arc<Hosted>, mut after: Option<String>) -> Result<Tails, Refused> {
    let mut tails = Tails { keys: 0, events: 0, longest: None, buckets: Vec::new(), next: None };
    while tails.keys < KEYS_MAX as u64 {
        let from = after.clone();
        let page = join.run(move |store| store.tails(from.as_deref(), STEP)).await?;
        let Some((last, _)) = page.last() else { return Ok(tails) };
        after = Some(last.clone());
        for (key, events) in page {
            count(&mut tails, key, events);
        }
    }
    let from = after.clone();
    let more = join.run(move |store| Ok(!store.tails(from.as_deref(), 1)?.is_empty())).await?;
    tails.next = after.filter(|_| more);
    Ok(tails)
}

/// Takes a key in; of several that are longest, the first stays.
fn count(tails: &mut Tails, key: String, events: u64) {
    tails.keys += 1;
    tails.events += events;
    let bucket = (u64::BITS - events.leading_zeros()) as usize;
    while tails.buckets.len() <= bucket {
        tails.buckets.push(TailBucket { up_to: up_to(tails.buckets.len() as u32), keys: 0 });
    }
    tails.buckets[bucket].keys += 1;
    if tails.longest.as_ref().is_none_or(|longest| longest.events < events) {
        tails.longest = Some(LongestTail { key, events });
    }
}

/// The longest tail of a bucket: none, then each twice as long and one more.
fn up_to(bucket: u32) -> u64 {
    u64::MAX.checked_shr(u64::BITS - bucket).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_counted_by_powers_of_two() {
        let mut tails = Tails { keys: 0, events: 0, longest: None, buckets: Vec::new(), next: None };
        for (n, events) in [0, 1, 2, 3, 4, 7, 8, 8, 0].into_iter().enumerate() {
            count(&mut tails, format!("k{n}"), events);
        }
        let counted: Vec<(u64, u64)> = tails.buckets.iter().map(|bucket| (bucket.up_to, bucket.keys)).collect();
        assert_eq!(counted, [(0, 2), (1, 1), (3, 2), (7, 2), (15, 2)]);
        assert_eq!((tails.keys, tails.events), (9, 33));
        assert_eq!(tails.longest, Some(LongestTail { key: "k6".into(), events: 8 }));
        count(&mut tails, "most".into(), u64::MAX - 33);
        assert_eq!((tails.buckets.len(), tails.buckets[64].up_to), (65, u64::MAX));
    }
}
