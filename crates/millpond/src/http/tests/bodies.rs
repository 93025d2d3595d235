//! Bodies: too long, too slow, too many, cut off.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};

use super::super::body::{Budget, Received, collect};
use super::super::problem::{Problem, Word};
use super::Limits;

const LIMITS: Limits = Limits { body_bytes_max: 1 << 20, events_max: 1, inflight_bytes_max: 1 << 20 };

/// A body that comes in pieces, each after a while.
fn slow(pieces: usize, bytes: usize, pause: Duration) -> Body {
    let piece = move |_| async move {
        sleep(pause).await;
        Ok::<_, Infallible>(Bytes::from(vec![b'x'; bytes]))
    };
    Body::from_stream(stream::iter(0..pieces).then(piece))
}

fn word(received: Result<Received, Problem>) -> Option<Word> {
    received.err().map(|problem| problem.word())
}

#[tokio::test(start_paused = true)]
async fn a_body_comes_whole_or_is_refused() {
    let budget = Budget::new(LIMITS.inflight_bytes_max);
    for (pieces, bytes) in [(0, 0), (1, 10), (3, 10), (64, 16 << 10)] {
        let received = collect(slow(pieces, bytes, Duration::ZERO), &LIMITS, &budget).await.unwrap();
        assert_eq!((received.bytes.len(), budget.held()), (pieces * bytes, pieces * bytes));
        drop(received);
        assert_eq!(budget.held(), 0);
    }
    assert_eq!(word(collect(slow(65, 16 << 10, Duration::ZERO), &LIMITS, &budget).await), Some(Word::TooLarge));
    assert_eq!(word(collect(Body::from(vec![0; (1 << 20) + 1]), &LIMITS, &budget).await), Some(Word::TooLarge));
    assert_eq!(budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_has_its_time_and_no_more() {
    let budget = Budget::new(LIMITS.inflight_bytes_max);
    let began = Instant::now();
    let ended = collect(slow(1_000_000, 1, Duration::from_millis(100)), &LIMITS, &budget).await;
    assert_eq!(word(ended), Some(Word::Timeout));
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(budget.held(), 0, "what it sent is let go");
    let steady = collect(slow(40, 17 << 10, Duration::from_secs(1)), &LIMITS, &budget).await;
    assert_eq!(word(steady), None);
    let silent = collect(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()), &LIMITS, &budget).await;
    assert_eq!(word(silent), Some(Word::Timeout));
}

#[tokio::test]
async fn all_bodies_together_hold_what_they_may() {
    let budget = Budget::new(100);
    let first = collect(Body::from(vec![0; 60]), &LIMITS, &budget).await.unwrap();
    let refused = collect(Body::from(vec![0; 41]), &LIMITS, &budget).await;
    assert_eq!(word(refused), Some(Word::TooMany));
    collect(Body::from(vec![0; 40]), &LIMITS, &budget).await.unwrap();
    drop(first);
    collect(Body::from(vec![0; 100]), &LIMITS, &budget).await.unwrap();
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
    let pieces = stream::iter([Ok(Bytes::from("{}")), Err(std::io::Error::other("reset"))]);
    let problem = collect(Body::from_stream(pieces), &LIMITS, &Budget::new(100)).await.unwrap_err();
    assert!(problem.word() == Word::BadRequest && problem.detail().contains("reset"), "{problem:?}");
}

#[tokio::test]
async fn too_slow_by_the_edge_is_too_slow_here() {
    let pieces = stream::iter([Err::<Bytes, _>(crate::edge::TooSlow)]);
    let problem = collect(Body::from_stream(pieces), &LIMITS, &Budget::new(100)).await.unwrap_err();
    assert_eq!(problem.word(), Word::Timeout);
}
