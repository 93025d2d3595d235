//! The stream of changes goes on where it was, whatever happens to its connection.
use crate::fake::{Fake, Reply, refusal};
use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use millpond_client::{ChangeEvent, Changes, Error, Retry, Since};

/// A connection on which these pieces come before it ends.
fn pieces(pieces: &[&str]) -> Reply {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from((*piece).to_owned()))).collect();
    (200, vec![("content-type", "text/event-stream".into())], Body::from_stream(stream::iter(pieces)))
}

/// The same, but then nothing more ever comes.
fn hanging(text: &'static str) -> Reply {
    let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]).chain(stream::pending());
    (200, vec![("content-type", "text/event-stream".into())], Body::from_stream(body))
}

fn change(id: u32) -> String {
    format!("event: change\nid: {id}\ndata: {{\"key\":\"k\",\"version\":{id},\"document\":{{\"n\":{id}}}}}\n\n")
}

async fn first(fake: &Fake, which: Changes, count: usize) -> Vec<String> {
    let shown = |event: Result<ChangeEvent, Error>| match event.unwrap() {
        ChangeEvent::Change { cursor, change } => format!("{cursor}={}", change.version),
        ChangeEvent::Reset => "reset".to_owned(),
    };
    fake.client().changes("orders", which).take(count).map(shown).collect().await
}

fn last_ids(fake: &Fake) -> Vec<Option<String>> {
    fake.asked().iter().map(|asked| asked.header("last-event-id").map(ToOwned::to_owned)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_gone_on_with_after_the_last_whole_change() {
    let (one, two, three) = (change(1), change(2), change(3));
    let fake = Fake::with([
        pieces(&[&one, &two[..20]]),
        refusal(503, "unavailable"),
        pieces(&[&two, ": ping\n\n"]),
        pieces(&[]),
        pieces(&[&three[..7], &three[7..]]),
    ])
    .await;
    let which = Changes { prefix: "k".into(), from: Since::Start, ..Changes::default() };
    assert_eq!(first(&fake, which, 3).await, ["1=1", "2=2", "3=3"]);
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(last_ids(&fake), [None, id("1"), id("1"), id("2"), id("2")]);
    assert_eq!(fake.lines()[0], "GET /v1/changes/orders?prefix=k&from=start");
    assert_eq!(fake.lines()[1], "GET /v1/changes/orders?prefix=k");
    assert_eq!(fake.asked()[0].header("accept"), Some("text/event-stream"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_went_silent_is_left() {
    let fake = Fake::with([hanging("id: 9\n\n: ping\n\n"), pieces(&[&change(10)])]).await;
    assert_eq!(first(&fake, Changes::default(), 1).await, ["10=10"]);
    assert_eq!(last_ids(&fake), [None, Some("9".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_told_and_what_is_unknown_is_not() {
    let text = ["event: later\ndata: x\n\nevent: reset\nid: 5\ndata: {\"reason\":\"erased\"}\n\n", &change(6)].concat();
    let fake = Fake::with([pieces(&[&text])]).await;
    let which = Changes { from: Since::After("4".into()), key: Some("k".into()), ..Changes::default() };
    assert_eq!(first(&fake, which, 2).await, ["reset", "6=6"]);
    assert_eq!(fake.lines(), ["GET /v1/changes/orders?key=k"]);
    assert_eq!(last_ids(&fake), [Some("4".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_stays_ends_the_stream() {
    for (reply, says) in [
        (refusal(404, "not-found"), "not-found"),
        (crate::fake::json("{}"), "a stream of events was expected"),
        (pieces(&["event: change\nid: 1\ndata: nonsense\n\n"]), "not understood"),
    ] {
        let fake = Fake::with([reply]).await;
        let events: Vec<_> = fake.client().changes("orders", Changes::default()).collect().await;
        let [Err(error)] = events.as_slice() else { panic!("{events:?}") };
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn patience_with_the_first_connection_ends_and_with_later_ones_does_not() {
    let refusals = |count| (0..count).map(|_| refusal(503, "unavailable"));
    let fake = Fake::with(refusals(9)).await;
    let client = fake.client_with(Retry { attempts_max: 3, ..Retry::default() });
    let events: Vec<_> = client.changes("orders", Changes::default()).collect().await;
    assert!(matches!(events.as_slice(), [Err(Error::Problem { status: 503, .. })]), "{events:?}");
    assert_eq!(fake.lines().len(), 3);

    let fake = Fake::with([pieces(&[&change(1)])].into_iter().chain(refusals(50)).chain([pieces(&[&change(2)])])).await;
    assert_eq!(first(&fake, Changes::default(), 2).await, ["1=1", "2=2"]);
}
