//! Clients that send until each event is acknowledged, however often the server dies meanwhile.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::load::Load;
use crate::sent::{Chance, Gives, Sent, oracle};
use crate::server::{Heard, Peer};

const BATCH_EVENTS_MAX: u64 = 60;
/// One acknowledged event in so many goes out again with the next batch.
const AGAIN_EVERY: u64 = 10;
/// Events come at most so long after they happened.
const DISORDER_MS: u64 = 300;
/// Keys of a client that sends single events.
const OWN_KEYS: u64 = 3;
/// Ids of one client begin here times its number.
const IDS: u64 = 1_000_000_000;

/// One client.
struct Sender<'l> {
    load: &'l Load,
    peer: Option<Peer<TcpStream>>,
    chance: Chance,
    number: u64,
    drawn: usize,
}

impl<'l> Sender<'l> {
    fn new(load: &'l Load, number: u64, seed: u64) -> Self {
        Self { load, peer: None, chance: Chance(seed * 100 + number), number, drawn: 0 }
    }

    fn draw(&mut self) -> Sent {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let timestamp = now - self.chance.below(DISORDER_MS);
        self.drawn += 1;
        Sent::draw((self.number * IDS) as usize + self.drawn, timestamp, &mut self.chance)
    }

    /// Posts events until they are acknowledged; whether the server died meanwhile.
    fn post(&mut self, kind: &str, body: &str, events: u64, mut died: impl FnMut(&mut Self)) {
        let length = body.len();
        let request = format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let heard = loop {
            if let Some(heard) = self.load.ask(&mut self.peer, &request) {
                break heard;
            }
            died(self);
        };
        assert_eq!(heard.status, 200, "{}", heard.body);
        let taken: Value = serde_json::from_str(&heard.body).unwrap();
        let known = taken["accepted"].as_u64().unwrap() + taken["duplicate"].as_u64().unwrap();
        assert_eq!((taken["received"].as_u64(), known), (Some(events), events), "{taken}");
        assert_eq!(taken["events"].as_array().map(Vec::len), Some(events as usize), "{taken}");
    }

    /// What the server has of a key, asked until it lives.
    fn view(&mut self, key: &str) -> Heard {
        let request = format!("GET /v1/views/user-activity/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        loop {
            if let Some(heard) = self.load.ask(&mut self.peer, &request) {
                return heard;
            }
        }
    }
}

/// Batches over keys that other clients send to as well; some events go out again.
pub(crate) fn send_batches(load: &Load, number: u64, seed: u64) -> Vec<Sent> {
    let mut sender = Sender::new(load, number, seed);
    let mut sent: Vec<Sent> = Vec::new();
    let mut last = 0;
    while !load.sent_enough() {
        let events = 1 + sender.chance.below(BATCH_EVENTS_MAX);
        let batch: Vec<Sent> = (0..events).map(|_| sender.draw()).collect();
        let mut lines: Vec<String> = batch.iter().map(Sent::line).collect();
        for known in &sent[last..] {
            if sender.chance.below(AGAIN_EVERY) == 0 {
                lines.insert(sender.chance.below(lines.len() as u64) as usize, known.line());
            }
        }
        sender.post("application/x-ndjson", &(lines.join("\n") + "\n"), lines.len() as u64, |_| ());
        last = sent.len();
        sent.extend(batch);
        let login = sent[last..].iter().find(|sent| matches!(sent.gives, Gives::Login));
        if let Some(Sent { key, timestamp, .. }) = login {
            let Heard { status, body, .. } = sender.view(key);
            let document: Value = serde_json::from_str(&body).unwrap();
            assert!(
                document["lastLogin"].as_u64() >= Some(*timestamp),
                "acknowledged {timestamp}, and read {status} {body}"
            );
        }
    }
    sent
}

/// Single events of keys that nobody else sends to: each is looked for as soon as it is acknowledged, and whenever
/// the server was killed, all that was acknowledged before.
pub(crate) fn send_singles(load: &Load, number: u64, seed: u64) -> Vec<Sent> {
    let mut sender = Sender::new(load, number, seed);
    let mut views: BTreeMap<String, (Vec<Sent>, String)> = BTreeMap::new();
    while !load.sent_enough() {
        let mut event = sender.draw();
        event.key = format!("own-{number}-{}", sender.chance.below(OWN_KEYS));
        let (key, line) = (event.key.clone(), event.line());
        let (sent, before) = views.entry(key.clone()).or_default();
        sent.push(event);
        let after = oracle(sent.iter());
        sender.post("application/json", &line, 1, |sender| {
            let found = found(sender.view(&key));
            assert!(found == *before || found == after, "acknowledged was {before}, then {line}; found {found}");
        });
        assert_eq!(found(sender.view(&key)), after, "after {line}");
        *before = after;
    }
    views.into_values().flat_map(|(sent, _)| sent).collect()
}

/// A view as the oracle writes it; nothing if there is none.
fn found(heard: Heard) -> String {
    match heard.status {
        200 => heard.body + "\n",
        404 => String::new(),
        status => panic!("{status}: {}", heard.body),
    }
}
