//! What the service promises to those who call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millpond_core::{Join, Reason, Rejection};
use millpond_store::{DataFolder, Options, Outcome};
use tempfile::TempDir;

use super::committer::{Waiting, commit};
use super::{Parcel, Refused, Service, Upkeep};

const START: u64 = 1_760_000_000_000;

/// The clock of a test, moved on by hand: one a thread would not be seen by the service's threads.
static CLOCK: AtomicU64 = AtomicU64::new(START);

fn clock() -> u64 {
    CLOCK.load(Ordering::SeqCst)
}

fn definition(name: &str, field: &str) -> Join {
    let text = format!(
        "name = \"{name}\"\nlateness = \"1s\"\nsnapshot_every = 2\n[key]\ne = [\"k\", \"also\"]\n[view]\nn = {{ count = \"e\" }}\n{field}"
    );
    Join::parse(&text).unwrap()
}

fn serve(dir: &TempDir, joins: Vec<Join>, upkeep: Option<Upkeep>) -> Arc<Service> {
    let folder = DataFolder::open_or_create(dir.path()).unwrap();
    Service::open(folder, joins, Options::default(), clock, upkeep).unwrap()
}

fn event(id: usize, key: &str, also: &str) -> String {
    format!(r#"{{"id":"{id}","type":"e","timestamp":{START},"k":"{key}","also":"{also}"}}"#)
}

/// A request of these events, and a broken piece where a text is none.
fn parcel(texts: &[String]) -> Arc<Parcel> {
    let mut parcel = Parcel { bytes: Bytes::from(texts.concat()), ..Parcel::default() };
    let mut at = 0;
    for text in texts {
        let range = at..at + text.len();
        at = range.end;
        match text.starts_with('{') {
            true => parcel.events.push(range),
            false => parcel.broken.push((range, Rejection::new(Reason::BrokenInput, text.clone()))),
        }
    }
    Arc::new(parcel)
}

fn document(service: &Service, join: &str, key: &str) -> Option<String> {
    service.join(join).unwrap().with(|store| store.document(key)).unwrap()
}

async fn put(service: &Service, join: &str, texts: &[String]) -> Vec<(u32, Outcome)> {
    service.join(join).unwrap().ingest(parcel(texts)).await.unwrap()
}

#[test]
fn requests_of_one_commit_are_answered_as_if_each_came_alone() {
    let dir = tempfile::tempdir().unwrap();
    let service = serve(&dir, vec![definition("alone", ""), definition("together", "")], None);
    let requests: Vec<Arc<Parcel>> = (0..5)
        .map(|request| {
            let mut texts: Vec<String> = (0..request).map(|n| event(n, &format!("k{request}"), "shared")).collect();
            texts.insert(request / 2, format!("broken {request}"));
            texts.push(event(0, "", "no key"));
            parcel(&texts)
        })
        .collect();
    let group: Vec<Waiting> = requests
        .iter()
        .map(|parcel| Waiting { parcel: Arc::clone(parcel), answer: tokio::sync::oneshot::channel().0 })
        .collect();
    let together = service.join("together").unwrap().with(|store| commit(store, &group, START)).unwrap();
    let alone: Vec<_> = group
        .chunks(1)
        .map(|one| service.join("alone").unwrap().with(|store| commit(store, one, START)).unwrap().remove(0))
        .collect();
    assert_eq!(together, alone);
    assert!(together[4].contains(&(4, Outcome::Quarantined(Reason::InvalidKey))), "{together:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_is_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = serve(&dir, vec![definition("j", "")], None);
    let writers = (0..8).map(|writer| {
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            for n in 0..50 {
                let key = format!("w{writer}");
                put(&service, "j", &[event(n, &key, &key)]).await;
                let seen = document(&service, "j", &key).unwrap();
                assert!(seen.contains(&format!("\"n\":{}", n + 1)), "after {n}: {seen}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let hosted = service.join("j").unwrap();
    let counts = hosted.commit_counts();
    assert_eq!((counts.requests.load(Ordering::SeqCst), counts.events.load(Ordering::SeqCst)), (400, 400));
    assert!(counts.commits.load(Ordering::SeqCst) <= 400);
}

#[tokio::test]
async fn joins_come_and_go_without_touching_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let service = serve(&dir, vec![definition("a", "")], None);
    put(&service, "a", &[event(1, "k", "k")]).await;
    let watched = service.join("a").unwrap().commits();

    assert!(service.put(definition("b", ""), false, false).unwrap().created);
    put(&service, "b", &[event(1, "k", "k"), event(2, "k", "k")]).await;
    assert!(!service.put(definition("b", ""), false, false).unwrap().created);

    let changed = definition("b", "m = { count = \"e\" }\n");
    assert!(matches!(service.put(changed, false, false), Err(Refused::Changed { .. })));
    assert_eq!(document(&service, "b", "k").unwrap(), r#"{"id":"k","n":2}"#);
    let rebuilt = service.put(definition("b", "m = { count = \"e\" }\n"), true, false).unwrap().rebuilt.unwrap();
    assert_eq!((rebuilt.rows, rebuilt.accepted), (2, 2));
    assert_eq!(document(&service, "b", "k").unwrap(), r#"{"id":"k","n":2,"m":2}"#);

    service.remove("b", true).unwrap();
    assert!(matches!(service.join("b"), Err(Refused::NoJoin { .. })));
    assert!(!dir.path().join("b").exists() && !dir.path().join("b.removed").exists());
    assert_eq!(document(&service, "a", "k").unwrap(), r#"{"id":"k","n":1}"#);
    assert!(!watched.has_changed().unwrap(), "nobody touched `a`");
    assert!(matches!(service.remove("b", true), Err(Refused::NoJoin { .. })));
}

/// It came back with the next start.
#[tokio::test]
async fn a_removed_join_stays_removed_until_it_is_put_again() {
    let dir = tempfile::tempdir().unwrap();
    let service = serve(&dir, vec![definition("a", ""), definition("b", "")], None);
    put(&service, "b", &[event(1, "k", "k")]).await;
    service.remove("b", false).unwrap();
    assert!(matches!(service.remove("b", false), Err(Refused::NoJoin { .. })), "it is no longer served");
    service.stop().unwrap();
    drop(service);

    let service = serve(&dir, vec![], None);
    let names: Vec<String> = service.joins().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a"]);
    assert!(service.put(definition("b", ""), false, false).unwrap().created, "it was not served");
    assert_eq!(document(&service, "b", "k").unwrap(), r#"{"id":"k","n":1}"#);
    service.stop().unwrap();
    drop(service);

    let service = serve(&dir, vec![], None);
    assert_eq!(service.joins().len(), 2);
    service.remove("b", false).unwrap();
    service.remove("b", true).unwrap();
    assert!(!dir.path().join("b").exists(), "it was stored, though not served");
    assert!(matches!(service.remove("b", true), Err(Refused::NoJoin { .. })));
}

/// Counts of what changes nothing wait for the next commit, and were lost with a changed definition.
#[tokio::test]
async fn a_changed_definition_keeps_the_counts() {
    let dir = tempfile::tempdir().unwrap();
    let service = serve(&dir, vec![definition("j", "")], None);
    put(&service, "j", &[event(1, "k", "k")]).await;
    put(&service, "j", &[event(1, "k", "k")]).await;
    let text = definition("j", "").source_text().replace("lateness = \"1s\"", "lateness = \"2s\"");
    service.put(Join::parse(&text).unwrap(), false, false).unwrap();
    let counters = service.join("j").unwrap().with(|store| Ok(store.counters())).unwrap();
    assert_eq!((counters.received, counters.duplicate), (2, 1));
}

#[tokio::test]
async fn a_rebuild_that_is_refused_leaves_the_join_serving() {
    let dir = tempfile::tempdir().unwrap();
    let service = serve(&dir, vec![definition("j", "")], None);
    put(&service, "j", &[event(1, "k", "k")]).await;
    let hosted = service.join("j").unwrap();
    hosted.with(|store| store.snapshot(&["k"], clock() + 9_000).and_then(|_| store.trim(&["k"]))).unwrap();
    let refused = service.put(definition("j", "m = { count = \"e\" }\n"), true, false).unwrap_err();
    assert!(refused.to_string().contains("trimmed"), "{refused}");
    assert_eq!(document(&service, "j", "k").unwrap(), r#"{"id":"k","n":1}"#);
    put(&service, "j", &[event(2, "new", "new")]).await;
}

#[tokio::test]
async fn after_a_stop_everything_is_refused_and_nothing_has_to_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let service = serve(&dir, vec![definition("j", "")], Some(Upkeep::default()));
    put(&service, "j", &[event(1, "k", "k")]).await;
    let hosted = service.join("j").unwrap();
    let watched = hosted.commits();
    service.stop().unwrap();
    assert_eq!(*watched.borrow(), None, "who follows it is told");
    assert!(matches!(hosted.ingest(parcel(&[event(2, "k", "k")])).await, Err(Refused::Left { .. })));
    assert!(matches!(hosted.run(|store| store.document("k")).await, Err(Refused::Left { .. })));
    drop((hosted, service));
    let folder = DataFolder::open(dir.path()).unwrap();
    let (store, opened) = millpond_store::Store::open(&folder, "j", Options::default()).unwrap();
    assert_eq!((opened.commits_replayed, store.document("k").unwrap().unwrap()), (0, r#"{"id":"k","n":1}"#.into()));
}

/// Long tails ask for themselves; a short one only by its age, and only where it was flushed.
#[tokio::test]
async fn upkeep_closes_long_tails_and_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let upkeep = Upkeep { snapshot_age: Duration::from_secs(5), sweep_every: Duration::ZERO, ..Upkeep::default() };
    let service = serve(&dir, vec![definition("j", "")], None);
    put(&service, "j", &[event(0, "old", "old")]).await;
    service.stop().unwrap();
    drop(service);

    CLOCK.store(START + 60_000, Ordering::SeqCst);
    let service = serve(&dir, vec![definition("j", "")], Some(upkeep));
    let hosted = service.join("j").unwrap();
    let mut commits = hosted.commits();
    while hosted.with(|store| Ok(store.counters().trimmed)).unwrap() < 1 {
        commits.changed().await.unwrap();
    }
    let view = hosted.with(|store| store.view("old")).unwrap().unwrap();
    assert!(view.trimmed_to.is_some());
    assert_eq!(document(&service, "j", "old").unwrap(), r#"{"id":"old","n":1}"#);
}
