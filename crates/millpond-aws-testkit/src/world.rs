//! A deployment in the fake AWS: its functions, driven by mappings that do what AWS says they may.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millpond_aws::aws::pace::Pace;
use millpond_aws::aws::queues::QueueUrls;
use millpond_aws::aws::store::{DynamoStore, Tables};
use millpond_aws::handlers::{Deployment, Failed, Invocation, Snapshots};
use millpond_aws::items;
use millpond_aws::meter::{Meter, Metric};
use millpond_core::process::verified;
use millpond_core::store::Store;
use millpond_core::{Join, View};
use millpond_testkit::mapping::{Answer, Delivered, Mapping, Record, deliver};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fake::{EVENTS, FakeAws, PATIENCE, STREAM, VIEW};

/// When a world begins, in milliseconds since 1970 UTC.
pub const T: u64 = 1_760_000_000_000;
/// In milliseconds.
pub const HOUR: u64 = 3_600_000;
/// In milliseconds.
pub const DAY: u64 = 24 * HOUR;
/// In milliseconds.
pub const WEEK: u64 = 7 * DAY;

thread_local! {
    /// The clock of the world that runs on this thread.
    static NOW: Cell<u64> = const { Cell::new(T) };
    /// Since when it goes by itself.
    static GOES_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// How far the clock of whoever runs now is ahead of the truth.
    static AHEAD: Cell<i64> = const { Cell::new(0) };
}

/// The time of the world on this thread, in milliseconds since 1970 UTC.
pub fn now() -> u64 {
    let gone = GOES_SINCE.get().map_or(0, |since| since.elapsed().as_millis() as u64);
    (NOW.get() + gone).saturating_add_signed(AHEAD.get())
}

/// Runs something whose clock is ahead of the truth by so many milliseconds, or behind it.
pub async fn ahead<R>(ms: i64, function: impl Future<Output = R>) -> R {
    let mut function = pin!(function);
    poll_fn(|context| {
        AHEAD.set(ms);
        let polled = function.as_mut().poll(context);
        AHEAD.set(0);
        polled
    })
    .await
}

/// A deployment, and what is on its way in it.
pub struct World {
    /// Where it is deployed.
    pub aws: FakeAws,
    /// What its functions know of it.
    pub deployment: Deployment,
    /// Sums over all invocations.
    pub meter: Meter,
    /// The same by function.
    pub meters: Mutex<BTreeMap<String, Meter>>,
    /// How long calls are tried again.
    pub patience: Duration,
    seed: AtomicU64,
    /// How far mappings have come in the stream, and in the change stream.
    consumed: AtomicUsize,
    triggered: AtomicUsize,
    /// What mappings have given up.
    pub given_up: Mutex<Vec<Value>>,
}

impl World {
    /// A deployment of a definition, with snapshots on for long; the clock stands at [`T`].
    pub fn new(definition: &str) -> Self {
        NOW.set(T);
        GOES_SINCE.set(None);
        let aws = FakeAws::default();
        let clients = aws.clients();
        let url = |name: &str| format!("http://aws.test/000000000000/{name}");
        let deployment = Deployment {
            join: Join::parse(definition).unwrap(),
            generation: 1,
            service: "dev-users".to_owned(),
            stream: STREAM.to_owned(),
            tables: Tables { events: EVENTS.to_owned(), view: VIEW.to_owned() },
            queues: QueueUrls {
                late: url("late"),
                quarantine: url("quarantine"),
                snapshot: url("snapshot"),
                trim: url("trim"),
            },
            bucket: "dev-users-bucket".to_owned(),
            archive: false,
            snapshots: Snapshots::Since(1),
            margin_ms: HOUR,
            clients,
        };
        Self {
            aws,
            deployment,
            meter: Meter::default(),
            meters: Mutex::default(),
            patience: PATIENCE,
            seed: AtomicU64::new(1),
            consumed: AtomicUsize::default(),
            triggered: AtomicUsize::default(),
            given_up: Mutex::default(),
        }
    }

    fn seed(&self) -> u64 {
        self.seed.fetch_add(1, Ordering::Relaxed)
    }

    /// All that is by chance from now on comes from this.
    pub fn seeded(&self, seed: u64) {
        self.seed.store(seed << 32, Ordering::Relaxed);
    }

    /// What is deployed in the place of the deployment when the definition changes.
    pub fn redefined(&self, definition: &str) -> Deployment {
        let old = &self.deployment;
        Deployment {
            join: Join::parse(definition).unwrap(),
            generation: old.generation + 1,
            service: old.service.clone(),
            stream: old.stream.clone(),
            tables: old.tables.clone(),
            queues: old.queues.clone(),
            bucket: old.bucket.clone(),
            clients: old.clients.clone(),
            ..*old
        }
    }

    /// Sets the clock.
    pub fn at(&self, now: u64) {
        NOW.set(now);
    }

    /// From now on the clock goes with that of the runtime.
    pub fn goes(&self) {
        NOW.set(now());
        GOES_SINCE.set(Some(Instant::now()));
    }

    /// An invocation by the clock of the world.
    pub fn invocation(&self) -> Invocation {
        let pace = Pace::new(Instant::now() + self.patience, self.seed());
        Invocation { now, pace, meter: Meter::default(), trace: None }
    }

    /// Runs a function; what it counted is added to the world's.
    ///
    /// # Errors
    /// As the function's.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Result<Value, Failed> {
        self.invoke_of(&self.deployment, function, payload).await
    }

    /// As [`World::invoke`], of another deployment in the same place.
    ///
    /// # Errors
    /// As the function's.
    pub async fn invoke_of(&self, of: &Deployment, function: &str, payload: &Value) -> Result<Value, Failed> {
        let invocation = self.invocation();
        let answer = of.handle(function, payload.to_string().as_bytes(), &invocation).await;
        let mut meters = self.meters.lock().unwrap();
        let meter = meters.entry(function.to_owned()).or_default();
        self.meter.add_all(&invocation.meter);
        meter.add_all(&invocation.meter);
        answer
    }

    /// Puts texts on the stream, as producers do.
    pub fn put(&self, texts: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let mut state = self.aws.state();
        for text in texts {
            let put = crate::fake::Put { partition_key: "p".to_owned(), data: text.as_ref().to_vec() };
            state.stream.push(put);
        }
    }

    /// Consumes what is new on the stream, and brings views up to date, until nothing is on its way.
    pub async fn settle(&self, mapping: &Mapping) {
        self.consume(mapping).await;
        self.trigger(mapping).await;
    }

    /// As [`World::settle`], by mappings that wait until all that is new is in one batch.
    pub async fn settle_at_once(&self) {
        self.consume_at_once().await;
        self.at_once("trigger", self.new_inserts()).await;
    }

    /// Consumes what is new on the stream, in one batch.
    pub async fn consume_at_once(&self) {
        self.at_once("consumer", self.new_puts()).await;
    }

    async fn at_once(&self, function: &str, records: Vec<Record<Value>>) {
        let records: Vec<Value> = records.into_iter().map(|record| record.data).collect();
        let answer = self.invoke(function, &json!({"Records": records})).await.unwrap();
        assert_eq!(failures(&answer), [""; 0], "{function}");
    }

    /// Consumes what is new on the stream.
    pub async fn consume(&self, mapping: &Mapping) {
        self.deliver("consumer", mapping, self.new_puts()).await;
    }

    /// Records that were put on the stream since it was last asked.
    pub fn new_puts(&self) -> Vec<Record<Value>> {
        let puts = self.aws.state().stream[self.consumed.load(Ordering::Relaxed)..].to_vec();
        let before = self.consumed.fetch_add(puts.len(), Ordering::Relaxed);
        let record = |(n, put): (usize, crate::fake::Put)| {
            let sequence_number = format!("4966{:052}", before + n);
            let data = json!({
                "eventID": format!("shardId-000000000000:{sequence_number}"),
                "eventSource": "aws:kinesis",
                "kinesis": {
                    "data": BASE64_STANDARD.encode(&put.data),
                    "partitionKey": put.partition_key,
                    "sequenceNumber": sequence_number,
                    "approximateArrivalTimestamp": 1_760_000_000.123,
                    "kinesisSchemaVersion": "1.0",
                },
            });
            Record { sequence_number, item: n.to_string(), at: now(), data }
        };
        puts.into_iter().enumerate().map(record).collect()
    }

    /// Brings views up to date with what is new on the change stream.
    pub async fn trigger(&self, mapping: &Mapping) {
        self.deliver("trigger", mapping, self.new_inserts()).await;
    }

    /// Records of the change stream since it was last asked, as the mapping's filter lets them through.
    pub fn new_inserts(&self) -> Vec<Record<Value>> {
        let changes = self.aws.state().changes[self.triggered.load(Ordering::Relaxed)..].to_vec();
        self.triggered.fetch_add(changes.len(), Ordering::Relaxed);
        let inserts = changes.into_iter().filter(|change| change["eventName"] == "INSERT");
        let record = |data: Value| {
            let sequence_number = data["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned();
            Record { sequence_number, item: data["dynamodb"]["Keys"].to_string(), at: now(), data }
        };
        inserts.map(record).collect()
    }

    async fn deliver(&self, function: &str, mapping: &Mapping, records: Vec<Record<Value>>) {
        // Some shards: each has every n-th record.
        let mut shards = vec![Vec::new(), Vec::new(), Vec::new()];
        let count = shards.len();
        for (n, record) in records.into_iter().enumerate() {
            shards[n % count].push(record);
        }
        let Delivered { given_up, .. } = deliver(mapping, shards, self.seed(), now, async |records| {
            let records: Vec<&Value> = records.iter().map(|record| &record.data).collect();
            match self.invoke(function, &json!({"Records": records})).await {
                Ok(answer) => Answer::Failures(failures(&answer)),
                Err(_) => Answer::Error,
            }
        })
        .await;
        self.given_up.lock().unwrap().extend(given_up.into_iter().flatten().map(|record| record.data));
    }

    /// Does what the queue of a function asks for; what fails is asked for again.
    pub async fn drain(&self, function: &str) {
        const ROUNDS_MAX: usize = 100;
        for _ in 0..ROUNDS_MAX {
            let messages = self.aws.receive(function);
            if messages.is_empty() {
                return;
            }
            for batch in messages.chunks(10) {
                let records: Vec<Value> = batch
                    .iter()
                    .map(|message| json!({"messageId": message.id, "body": message.body, "eventSource": "aws:sqs"}))
                    .collect();
                let failed = match self.invoke(function, &json!({"Records": records})).await {
                    Ok(answer) => failures(&answer),
                    Err(_) => batch.iter().map(|message| message.id.clone()).collect(),
                };
                let again = batch.iter().filter(|message| failed.contains(&message.id)).cloned();
                self.aws.state().queues.entry(function.to_owned()).or_default().extend(again);
            }
        }
        panic!("{function}: there are messages left after {ROUNDS_MAX} rounds");
    }

    /// The view of a key, as its table has it.
    pub async fn view(&self, key: &str) -> Option<View> {
        let invocation = self.invocation();
        self.deployment.store(&invocation).view(key).await.unwrap()
    }

    /// The document of a key.
    pub async fn document(&self, key: &str) -> Option<String> {
        self.view(key).await.map(|view| view.state.document(&self.deployment.join, key))
    }

    /// All keys with a view, in order.
    pub async fn keys(&self) -> Vec<String> {
        let invocation = self.invocation();
        let store = self.deployment.store(&invocation);
        let (mut keys, mut start) = (Vec::new(), None);
        loop {
            let (items, next) = store.view_items(start).await.unwrap();
            keys.extend(items.iter().filter_map(|item| items::view_key(item)).map(str::to_owned));
            start = next;
            if start.is_none() {
                keys.sort();
                return keys;
            }
        }
    }

    /// Whether an event ever was a row of a key.
    pub fn was_accepted(&self, key: &str, text: &str) -> bool {
        let state = self.aws.state();
        state.changes.iter().any(|change| {
            let image = &change["dynamodb"]["NewImage"];
            image["id"]["S"] == key && image["event"]["S"] == text
        })
    }

    /// Items of a table.
    pub async fn rows(&self, table: &str) -> usize {
        let scan = self.deployment.clients.dynamo.scan().table_name(table).send().await.unwrap();
        scan.items().len()
    }

    /// Differences that folding a key anew finds.
    pub async fn differences(&self, key: &str) -> usize {
        let invocation = self.invocation();
        let store: DynamoStore<'_> = self.deployment.store(&invocation);
        verified(&store, &self.deployment.join, key).await.unwrap().len()
    }

    /// The messages of a queue, as JSON.
    pub fn queue(&self, name: &str) -> Vec<Value> {
        self.aws.messages(name).iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
    }

    /// How many there were of each.
    pub fn counts(&self, metrics: &[Metric]) -> BTreeMap<String, u64> {
        metrics.iter().map(|metric| (metric.name(), self.meter.get(*metric) as u64)).collect()
    }
}

/// What a function names as not done.
pub fn failures(answer: &Value) -> Vec<String> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}
