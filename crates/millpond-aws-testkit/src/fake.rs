//! A small AWS inside the process: the real SDK's requests, answered by an emulator of DynamoDB, and by
//! a few lines each for Kinesis, SQS and S3; with faults between the two, if asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dynoxide::{Database, DynoxideError};
use millpond_aws::handlers::Clients;
use serde_json::{Value, json};

/// The table of rows.
pub const EVENTS: &str = "dev-users-events";
/// The table of views.
pub const VIEW: &str = "dev-users-view";
/// The stream of events.
pub const STREAM: &str = "dev-users-stream";

/// What goes wrong, in percent of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Refused before anything was done: throttled, or out of order.
    pub refused: u32,
    /// Done, but the answer is lost.
    pub lost: u32,
    /// Items of a batch that are left undone.
    pub partly: u32,
    /// Done, but late: up to the longest of [`SLOW_MS`].
    pub slow: u32,
    /// Reads that need not be consistent, and see what was there before the last write: of a view, or of any row.
    pub stale: u32,
    /// Queries that end early, and have a next page.
    pub short: u32,
    /// Done after the caller was told that there is no answer.
    pub delayed: u32,
    /// How long any call takes each way, at most, in milliseconds; by chance, so that calls overtake each other.
    pub spread_ms: u64,
}

/// How often each kind of fault happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fired {
    /// Of [`Faults::refused`].
    pub refused: u64,
    /// Of [`Faults::lost`].
    pub lost: u64,
    /// Of [`Faults::partly`].
    pub partly: u64,
    /// Of [`Faults::slow`].
    pub slow: u64,
    /// Of [`Faults::stale`].
    pub stale: u64,
    /// Of [`Faults::delayed`].
    pub delayed: u64,
    /// Of [`Faults::short`].
    pub short: u64,
}

/// How long a slow call takes, in milliseconds.
const SLOW_MS: std::ops::Range<u64> = 100..8_000;

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// What it says.
    pub body: String,
}

/// A record that was put on the stream.
#[derive(Clone, Debug)]
pub struct Put {
    /// What it is spread over shards by.
    pub partition_key: String,
    /// What it holds.
    pub data: Vec<u8>,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What was asked for.
    pub operation: String,
    /// The table; empty for a batch and a transaction, which name it inside.
    pub table: String,
    /// Whether it was refused, as where a condition does not hold.
    pub refused: bool,
    /// What the answer says that it cost.
    pub units: f64,
    /// Items in the answer.
    pub items: usize,
}

/// What there is outside the tables.
#[derive(Default)]
pub struct State {
    /// Messages by the name of their queue.
    pub queues: BTreeMap<String, Vec<Message>>,
    /// Objects by bucket and key.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// The stream, from its beginning.
    pub stream: Vec<Put>,
    /// The change stream of the events table, as Lambda hands it over.
    pub changes: Vec<Value>,
    /// Calls of DynamoDB, in their order.
    pub calls: Vec<Call>,
    /// Faults that happened.
    pub fired: Fired,
    messages: u64,
    /// Answers about views, as they were before their last write.
    older: BTreeMap<String, String>,
    /// The place of the row that was inserted last.
    youngest: Value,
}

/// All of it.
#[derive(Clone)]
pub struct FakeAws {
    inner: Arc<Inner>,
}

struct Inner {
    dynamo: Database,
    state: Mutex<State>,
    faults: Mutex<(Faults, fastrand::Rng)>,
}

impl fmt::Debug for FakeAws {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("FakeAws")
    }
}

impl Default for FakeAws {
    /// An AWS with two empty tables.
    fn default() -> Self {
        let dynamo = Database::memory().unwrap();
        let table = |name: &str, keys: &[(&str, &str)]| {
            json!({
                "TableName": name,
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": keys.iter().map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"})).collect::<Vec<_>>(),
                "KeySchema": keys.iter().map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})).collect::<Vec<_>>(),
            })
        };
        for request in [table(EVENTS, &[("id", "HASH"), ("sequence", "RANGE")]), table(VIEW, &[("id", "HASH")])] {
            dynamo.create_table(serde_json::from_value(request).unwrap()).unwrap();
        }
        let faults = Mutex::new((Faults::default(), fastrand::Rng::with_seed(0)));
        Self { inner: Arc::new(Inner { dynamo, state: Mutex::default(), faults }) }
    }
}

impl FakeAws {
    /// What there is outside the tables.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }

    /// From now on, so much goes wrong.
    pub fn faults(&self, faults: Faults, seed: u64) {
        *self.inner.faults.lock().unwrap() = (faults, fastrand::Rng::with_seed(seed));
    }

    /// The item of a key's view, as it is now, whatever else goes wrong.
    pub fn view_item(&self, key: &str) -> Option<Value> {
        let get = json!({"TableName": VIEW, "Key": {"id": {"S": key}}, "ConsistentRead": true});
        let item = self.inner.dynamo.get_item(read(get)).unwrap().item;
        item.map(|item| serde_json::to_value(item).unwrap())
    }

    /// The messages of a queue, which stay.
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        self.state().queues.get(queue).cloned().unwrap_or_default()
    }

    /// The messages of a queue, which go.
    pub fn receive(&self, queue: &str) -> Vec<Message> {
        self.state().queues.remove(queue).unwrap_or_default()
    }

    /// Clients that reach nothing else.
    pub fn clients(&self) -> Clients {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .http_client(SharedHttpClient::new(self.clone()))
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .endpoint_url("http://aws.test")
            .build();
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Clients {
            dynamo: aws_sdk_dynamodb::Client::new(&config),
            kinesis: aws_sdk_kinesis::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
        }
    }

    async fn call(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        self.travels().await; // others may come in between
        if let Some(refused) = self.refused() {
            return Ok(refused);
        }
        let is_stale = self.chance(|faults| faults.stale);
        let limit = self.chance(|faults| faults.short).then(|| self.inner.faults.lock().unwrap().1.u64(1..4));
        let unkind = Unkind { is_stale, limit };
        if self.chance(|faults| faults.delayed) {
            self.state().fired.delayed += 1;
            let (ms, later) = (self.inner.faults.lock().unwrap().1.u64(SLOW_MS), self.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                later.inner.answer(&request, later.undone(), unkind);
            });
            return Err(ConnectorError::timeout("the call goes on without its caller".into()));
        }
        let response = self.inner.answer(&request, self.undone(), unkind);
        self.travels().await;
        if self.chance(|faults| faults.slow) {
            self.state().fired.slow += 1;
            let ms = self.inner.faults.lock().unwrap().1.u64(SLOW_MS);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if self.chance(|faults| faults.lost) {
            self.state().fired.lost += 1;
            return Err(ConnectorError::timeout("the answer is lost".into()));
        }
        Ok(response)
    }

    async fn travels(&self) {
        let ms = {
            let (faults, chance) = &mut *self.inner.faults.lock().unwrap();
            (faults.spread_ms > 0).then(|| chance.u64(..faults.spread_ms))
        };
        match ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => tokio::task::yield_now().await,
        }
    }

    fn chance(&self, percent: impl Fn(&Faults) -> u32) -> bool {
        let (faults, chance) = &mut *self.inner.faults.lock().unwrap();
        chance.u32(..100) < percent(faults)
    }

    fn refused(&self) -> Option<HttpResponse> {
        const REFUSALS: [(u16, &str); 4] = [
            (400, "ProvisionedThroughputExceededException"),
            (400, "ThrottlingException"),
            (500, "InternalServerError"),
            (503, "ServiceUnavailable"),
        ];
        if !self.chance(|faults| faults.refused) {
            return None;
        }
        self.state().fired.refused += 1;
        let (status, kind) = REFUSALS[self.inner.faults.lock().unwrap().1.usize(..REFUSALS.len())];
        Some(response(status, json!({"__type": kind, "message": "not now"}).to_string()))
    }

    /// Which items of a batch are left undone.
    fn undone(&self) -> impl FnMut() -> bool {
        move || self.chance(|faults| faults.partly)
    }
}

impl HttpConnector for FakeAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().call(request))
    }
}

impl HttpClient for FakeAws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// How a read is answered.
#[derive(Clone, Copy)]
struct Unkind {
    is_stale: bool,
    /// Items of a page, at most.
    limit: Option<u64>,
}

impl Inner {
    fn answer(&self, request: &HttpRequest, undone: impl FnMut() -> bool, unkind: Unkind) -> HttpResponse {
        let body = request.body().bytes().expect("bodies are in memory");
        let Some(target) = request.headers().get("x-amz-target") else { return self.object(request, body) };
        let (service, operation) = target.split_once('.').unwrap();
        let text = std::str::from_utf8(body).unwrap();
        let answer = match service {
            "DynamoDB_20120810" => self.dynamo(operation, text, undone, unkind),
            "Kinesis_20131202" => Ok(self.kinesis(operation, &serde_json::from_str(text).unwrap(), undone)),
            "AmazonSQS" => Ok(self.queue(operation, &serde_json::from_str(text).unwrap())),
            service => panic!("no fake of {service}"),
        };
        match answer {
            Ok(answer) => response(200, answer),
            Err(error) => response(error.status_code(), error.to_json()),
        }
    }

    fn dynamo(
        &self,
        operation: &str,
        body: &str,
        undone: impl FnMut() -> bool,
        unkind: Unkind,
    ) -> Result<String, DynoxideError> {
        let mut request: Value = serde_json::from_str(body).unwrap();
        let table = request["TableName"].as_str().unwrap_or_default().to_owned();
        self.remember(operation, &table, &request);
        if let (Some(limit), "Query") = (unkind.limit, operation) {
            request["Limit"] = limit.into();
            self.state.lock().unwrap().fired.short += 1;
        }
        let mut answer = self.tables(operation, &table, request.clone(), undone);
        let is_stale = unkind.is_stale && request["ConsistentRead"] != true;
        if is_stale && operation == "Query" {
            answer = answer.map(|newest| self.without_youngest(&newest));
        }
        if is_stale && operation == "GetItem" && table == VIEW {
            let older = self.state.lock().unwrap().older.get(&request["Key"].to_string()).cloned();
            self.state.lock().unwrap().fired.stale += u64::from(older.is_some());
            answer = answer.map(|newest| older.unwrap_or(newest));
        }
        let said = answer.as_ref().map_or(Value::Null, |answer| serde_json::from_str(answer).unwrap());
        self.state.lock().unwrap().calls.push(Call {
            operation: operation.to_owned(),
            table,
            refused: answer.is_err(),
            units: units(&said["ConsumedCapacity"]),
            items: said["Items"].as_array().map_or(usize::from(said["Item"].is_object()), Vec::len),
        });
        answer
    }

    fn tables(
        &self,
        operation: &str,
        table: &str,
        mut request: Value,
        mut undone: impl FnMut() -> bool,
    ) -> Result<String, DynoxideError> {
        let db = &self.dynamo;
        Ok(match operation {
            "GetItem" => json(db.get_item(read(request))?),
            "PutItem" => {
                let item = request["Item"].clone();
                let place = json!({"TableName": EVENTS, "Key": {"id": item["id"], "sequence": item["sequence"]}});
                let is_known = table == EVENTS && db.get_item(read(place))?.item.is_some();
                let answer = json(db.put_item(read(request))?);
                if table == EVENTS {
                    self.change(if is_known { "MODIFY" } else { "INSERT" }, &item);
                }
                answer
            }
            "UpdateItem" => json(db.update_item(read(request))?),
            "DeleteItem" => json(db.delete_item(read(request))?),
            "Query" => json(db.query(read(request))?),
            "Scan" => json(db.scan(read(request))?),
            "TransactWriteItems" => json(db.transact_write_items(read(request))?),
            "BatchWriteItem" => {
                let requests = request["RequestItems"][EVENTS].as_array_mut().unwrap();
                assert!(requests.len() <= 25, "more than DynamoDB takes");
                let (left, done): (Vec<_>, Vec<_>) = requests.drain(..).partition(|_| undone());
                self.state.lock().unwrap().fired.partly += left.len() as u64;
                requests.extend(done.clone());
                let mut answer = json!({"UnprocessedItems": {}});
                if !done.is_empty() {
                    answer = serde_json::to_value(db.batch_write_item(read(request))?).unwrap();
                    done.iter().for_each(|request| self.change("REMOVE", &request["DeleteRequest"]["Key"]));
                }
                if !left.is_empty() {
                    answer["UnprocessedItems"] = json!({EVENTS: left});
                }
                answer.to_string()
            }
            operation => panic!("no fake of dynamodb:{operation}"),
        })
    }

    /// The answer to a query, as it was before the last row came.
    fn without_youngest(&self, answer: &str) -> String {
        let mut answer: Value = serde_json::from_str(answer).unwrap();
        let mut state = self.state.lock().unwrap();
        let youngest = state.youngest.clone();
        let items = answer["Items"].as_array_mut().unwrap();
        let before = items.len();
        items.retain(|item| item["id"] != youngest["id"] || item["sequence"] != youngest["sequence"]);
        state.fired.stale += (before - items.len()) as u64;
        answer.to_string()
    }

    /// Keeps what was in the place of a view that is written.
    fn remember(&self, operation: &str, table: &str, request: &Value) {
        let key = match operation {
            "PutItem" => json!({"id": request["Item"]["id"]}),
            "UpdateItem" => request["Key"].clone(),
            "TransactWriteItems" => json!({"id": request["TransactItems"][0]["Put"]["Item"]["id"]}),
            _ => return,
        };
        if table == VIEW || operation == "TransactWriteItems" {
            let before = json!({"TableName": VIEW, "Key": key});
            let before = json(self.dynamo.get_item(read(before)).unwrap());
            self.state.lock().unwrap().older.insert(key.to_string(), before);
        }
    }

    /// A record of the change stream.
    fn change(&self, name: &str, image: &Value) {
        let mut state = self.state.lock().unwrap();
        if name == "INSERT" {
            state.youngest = json!({"id": image["id"], "sequence": image["sequence"]});
        }
        let sequence_number = format!("{}00000000000{:012}", 1, state.changes.len());
        let image_of = if name == "REMOVE" { "OldImage" } else { "NewImage" };
        state.changes.push(json!({
            "eventID": format!("{:032x}", sequence_number.len()),
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-central-1",
            "dynamodb": {
                "ApproximateCreationDateTime": crate::world::now() / 1000,
                "Keys": {"id": image["id"], "sequence": image["sequence"]},
                image_of: image,
                "SequenceNumber": sequence_number,
                "SizeBytes": 99,
                "StreamViewType": "NEW_IMAGE",
            },
        }));
    }

    fn kinesis(&self, operation: &str, request: &Value, mut undone: impl FnMut() -> bool) -> String {
        assert_eq!((operation, request["StreamName"].as_str()), ("PutRecords", Some(STREAM)));
        let mut state = self.state.lock().unwrap();
        let mut failed = 0;
        let mut one = |record: &Value| {
            if undone() {
                failed += 1;
                return json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"});
            }
            let data = BASE64_STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
            let partition_key = record["PartitionKey"].as_str().unwrap().to_owned();
            state.stream.push(Put { partition_key, data });
            json!({"SequenceNumber": format!("4966{:052}", state.stream.len()), "ShardId": "shardId-000000000000"})
        };
        let records: Vec<Value> = request["Records"].as_array().unwrap().iter().map(&mut one).collect();
        json!({"FailedRecordCount": failed, "Records": records}).to_string()
    }

    fn queue(&self, operation: &str, request: &Value) -> String {
        assert_eq!(operation, "SendMessage");
        let mut state = self.state.lock().unwrap();
        state.messages += 1;
        let id = format!("{:08}-0000-0000-0000-000000000000", state.messages);
        let queue = request["QueueUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let body = request["MessageBody"].as_str().unwrap().to_owned();
        assert!(body.len() <= 256 * 1024, "more than a queue takes");
        state.queues.entry(queue).or_default().push(Message { id: id.clone(), body });
        json!({"MessageId": id}).to_string()
    }

    fn object(&self, request: &HttpRequest, body: &[u8]) -> HttpResponse {
        assert_eq!(request.method(), "PUT");
        let path = request.uri().split_once("aws.test/").map_or(request.uri(), |(_, path)| path);
        let path = path.split('?').next().unwrap().to_owned();
        self.state.lock().unwrap().objects.insert(path, body.to_vec());
        response(200, String::new())
    }
}

/// The units of an answer: of one table, or of each.
fn units(capacity: &Value) -> f64 {
    match capacity {
        Value::Array(tables) => tables.iter().map(units).sum(),
        table => table["CapacityUnits"].as_f64().unwrap_or_default(),
    }
}

fn read<T: serde::de::DeserializeOwned>(request: Value) -> T {
    serde_json::from_value(request).unwrap()
}

fn json(answer: impl serde::Serialize) -> String {
    serde_json::to_string(&answer).unwrap()
}

fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}

/// How long tests let calls be tried again: by the clock of a runtime that is paused.
pub const PATIENCE: Duration = Duration::from_secs(60);
