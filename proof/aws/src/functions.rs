//! The five functions, as they are, through the real SDK, over streams, tables, queues, a bucket and
//! clocks that do whatever they may. How long each call takes is by chance, so that a seed chooses
//! which of them overtake each other.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{LocalBoxFuture, join_all};
use millpond_aws::erase::erase;
use millpond_aws::handlers::Deployment;
use millpond_aws::meter::Metric;
use millpond_aws_testkit::fake::{Faults, Message};
use millpond_aws_testkit::world::{World, ahead, failures, now};
use millpond_core::process::verified;
use millpond_core::store::Store;
use millpond_core::{Position, Reason};
use millpond_proof::events::{DEFINITION, EVENTS, Found, KEYS, MINUTE, REDEFINED, Sent, definition, examine, sent};
use millpond_proof::lives::Lived;
use millpond_proof::plan::{Fault, Plan, Weights};
use millpond_testkit::mapping::{Answer, Mapping, Record, deliver};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Shards of the stream of events, and of the change stream.
const SHARDS: usize = 2;
/// After so many calls of DynamoDB nothing goes wrong any more.
const CALLS_UNTIL_CALM: usize = 3_000;
/// So many are too many.
const CALLS_MAX: usize = 30_000;
/// When a function is stopped.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);
/// So long functions of an old definition are still started, in milliseconds.
const OLD_MS: u64 = 30 * MINUTE;
/// In one of so many lives, somebody erases a key.
const ERASED_ONCE_IN: u32 = 3;
/// So long after the life's beginning, in milliseconds, at the latest.
const ERASED_WITHIN_MS: u64 = 3 * 60 * MINUTE;
/// How far a clock may be from the truth.
const SKEW_MS: i64 = 90_000;

/// What is on its way on each shard of a stream.
type Stream = RefCell<Vec<Vec<Record<Value>>>>;

/// What is on its way in a life, and what has become of it.
struct Life<'l> {
    world: &'l World,
    redefined: Option<&'l Deployment>,
    /// Since when the new definition is deployed.
    redefined_at: Cell<Option<u64>>,
    weights: Weights,
    chance: RefCell<Rng>,
    is_calm: Cell<bool>,
    /// Once in so many times somebody asks for a snapshot or a trim by hand.
    by_hand_every: u64,
    mapping: Mapping,
    stream: Stream,
    changes: Stream,
    epoch: Cell<u64>,
    /// Keys whose change records are lost.
    lost: RefCell<BTreeSet<String>>,
    busy: Cell<usize>,
    is_sent: Cell<bool>,
    /// Whether nobody has to refold all keys any more.
    is_refolded: Cell<bool>,
    /// The key that somebody erases.
    erased: Option<&'static str>,
    /// How far it is erased, once that is done.
    erased_to: RefCell<Option<Position>>,
    fired: RefCell<BTreeMap<Fault, u64>>,
    reached: RefCell<BTreeMap<&'static str, u64>>,
    wrong: RefCell<Option<String>>,
    /// A hash of all that happened so far.
    traced: Cell<u64>,
}

/// Lives a life.
///
/// # Panics
/// If what the life is made from is not as it should be.
#[must_use]
pub fn life(plan: &Plan) -> Lived {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime takes no more than memory").block_on(lived(plan))
}

async fn lived(plan: &Plan) -> Lived {
    let weights = plan.weights();
    let mut chance = plan.chance(4);
    let fired = RefCell::new(BTreeMap::new());
    let count = |fault| *fired.borrow_mut().entry(fault).or_default() += 1;
    let sent = sent(plan, count);
    let mut world = World::new(&definition(DEFINITION, plan));
    world.seeded(plan.seed);
    world.deployment.margin_ms = 10 * MINUTE;
    world.deployment.archive = chance.bool();
    world.patience = Duration::from_millis(chance.u64(200..5_000));
    world.goes();
    let redefined = world.redefined(&definition(REDEFINED, plan));
    let faults = Faults {
        refused: weights.of(Fault::Refused),
        lost: weights.of(Fault::Lost),
        delayed: weights.of(Fault::Delayed),
        // What is often left undone is left undone until somebody gives up.
        partly: if weights.of(Fault::Unprocessed) > 10 { 90 } else { weights.of(Fault::Unprocessed) },
        slow: chance.u32(..4),
        stale: weights.of(Fault::Stale),
        short: weights.of(Fault::ShortPage),
        spread_ms: chance.u64(1..400),
    };
    world.aws.faults(faults, chance.u64(..));
    let by_hand_every = [64, 1_024][chance.usize(..2)];
    let is_redefined = chance.u32(..30) < weights.of(Fault::Redefined);
    let erased = (chance.u32(..ERASED_ONCE_IN) == 0).then(|| KEYS[chance.usize(..KEYS.len())]);
    let life = Life {
        world: &world,
        redefined: is_redefined.then_some(&redefined),
        redefined_at: Cell::new(None),
        mapping: Mapping {
            batch_max: chance.usize(1..9),
            bisects: chance.bool(),
            retries_max: None,
            lanes: chance.usize(1..3),
            again_percent: weights.of(Fault::Redelivery),
            ..Mapping::default()
        },
        weights,
        by_hand_every,
        chance: RefCell::new(chance),
        is_calm: Cell::new(false),
        stream: RefCell::new(vec![Vec::new(); SHARDS]),
        changes: RefCell::new(vec![Vec::new(); SHARDS]),
        epoch: Cell::new(0),
        lost: RefCell::default(),
        busy: Cell::new(0),
        is_sent: Cell::new(false),
        is_refolded: Cell::new(!is_redefined),
        erased,
        erased_to: RefCell::default(),
        fired,
        reached: RefCell::default(),
        wrong: RefCell::default(),
        traced: Cell::default(),
    };
    let mut tasks: Vec<LocalBoxFuture<'_, ()>> =
        vec![Box::pin(life.sends(&sent)), Box::pin(life.calms()), Box::pin(life.redefines()), Box::pin(life.erases())];
    for shard in 0..SHARDS {
        tasks.push(Box::pin(life.consumes(shard)));
        tasks.push(Box::pin(life.triggers(shard)));
    }
    for function in ["snapshot", "snapshot", "trim"] {
        tasks.push(Box::pin(life.asks(function)));
    }
    join_all(tasks).await;
    world.aws.faults(Faults::default(), 0);
    let is_wrong = life.wrong.borrow().is_some();
    if !is_wrong {
        life.ends(&sent).await;
    }
    life.lived()
}

impl Life<'_> {
    fn below(&self, end: u64) -> u64 {
        self.chance.borrow_mut().u64(..end)
    }

    /// Whether a fault happens here; it is counted.
    fn fires(&self, fault: Fault) -> bool {
        let fires = self.draws(fault);
        if fires {
            self.fired(fault, 1);
        }
        fires
    }

    /// Whether a fault is to happen; whoever sees it happen counts it.
    fn draws(&self, fault: Fault) -> bool {
        let percent = self.weights.of(fault);
        percent > 0 && !self.is_calm.get() && self.below(100) < u64::from(percent)
    }

    fn fired(&self, fault: Fault, count: u64) {
        self.trace((fault, count));
        *self.fired.borrow_mut().entry(fault).or_default() += count;
    }

    fn reached(&self, state: &'static str, count: u64) {
        if count > 0 {
            *self.reached.borrow_mut().entry(state).or_default() += count;
        }
    }

    /// Puts down what happened, and when.
    fn trace(&self, what: impl Hash) {
        self.traced.set(hash((self.traced.get(), now(), what)));
    }

    fn wrong(&self, what: impl FnOnce() -> String) {
        self.wrong.borrow_mut().get_or_insert_with(what);
    }

    /// Between two looks at something.
    async fn rests(&self) {
        let ms = 1 + self.below(20_000);
        sleep(Duration::from_millis(ms)).await;
        if self.below(32) == 0 && self.fires(Fault::ClockJump) {
            let ms = self.below(30 * MINUTE);
            sleep(Duration::from_millis(ms)).await;
        }
    }

    fn is_over(&self) -> bool {
        let is_empty = |stream: &Stream| stream.borrow().iter().all(Vec::is_empty);
        let is_done = self.is_sent.get()
            && self.is_refolded.get()
            && (self.erased.is_none() || self.erased_to.borrow().is_some())
            && self.busy.get() == 0
            && is_empty(&self.stream)
            && is_empty(&self.changes)
            && self.lost.borrow().is_empty();
        is_done || self.wrong.borrow().is_some()
    }

    /// Whoever may go on for ever, does not.
    async fn calms(&self) {
        while !self.is_over() {
            sleep(Duration::from_secs(10)).await;
            let calls = self.world.aws.state().calls.len();
            if calls > CALLS_UNTIL_CALM && !self.is_calm.replace(true) {
                self.world.aws.faults(Faults { spread_ms: 100, ..Faults::default() }, 0);
            }
            if calls > CALLS_MAX {
                self.wrong(|| format!("it does not end: {calls} calls"));
            }
        }
    }

    async fn sends(&self, sent: &[Sent]) {
        for (number, one) in sent.iter().enumerate() {
            sleep(Duration::from_millis(one.at.saturating_sub(now()))).await;
            if number == sent.len() / 2 && self.redefined.is_some() {
                self.redefined_at.set(Some(now()));
            }
            self.is_right_at_rest();
            self.world.put([&one.text]);
            if self.fires(Fault::Reshard) {
                self.epoch.set(self.below(1_000));
            }
            self.spread(self.world.new_puts(), &self.stream);
        }
        self.is_sent.set(true);
    }

    /// Where nothing is on its way, each view has all rows that there ever were.
    fn is_right_at_rest(&self) {
        self.takes_changes();
        let is_empty = |stream: &Stream| stream.borrow().iter().all(Vec::is_empty);
        let is_at_rest =
            self.busy.get() == 0 && is_empty(&self.stream) && is_empty(&self.changes) && self.lost.borrow().is_empty();
        if !is_at_rest || self.redefined.is_some() {
            return;
        }
        self.reached("at rest", 1);
        for key in KEYS.into_iter().filter(|key| self.erased != Some(key)) {
            let state = self.world.aws.state();
            let rows = state
                .changes
                .iter()
                .filter(|change| change["eventName"] == "INSERT" && change["dynamodb"]["Keys"]["id"]["S"] == key);
            let rows = rows.count();
            drop(state);
            let item = self.world.aws.view_item(key);
            let events =
                item.map_or_else(|| "0".to_owned(), |item| item["_events"]["N"].as_str().unwrap_or("?").to_owned());
            if events != rows.to_string() {
                self.wrong(|| format!("at rest, the view of {key} has {events} events, and {rows} were accepted"));
            }
        }
    }

    fn spread(&self, records: Vec<Record<Value>>, shards: &Stream) {
        for record in records {
            let shard = hash((&record.item, self.epoch.get())) % SHARDS as u64;
            shards.borrow_mut()[shard as usize].push(record);
        }
    }

    /// The deployment whose functions are started now.
    fn deployment(&self) -> &Deployment {
        match (self.redefined, self.redefined_at.get()) {
            (Some(redefined), Some(at)) => {
                let is_old = now() < at + OLD_MS && self.below(2) == 0;
                self.fired(Fault::Redefined, u64::from(is_old));
                if is_old { &self.world.deployment } else { redefined }
            }
            _ => &self.world.deployment,
        }
    }

    /// After a new definition was deployed, an operator refolds the views that there are, while functions of the
    /// old one are still started; and the others once none are, though what was begun before may still run.
    async fn redefines(&self) {
        let Some(redefined) = self.redefined else { return };
        while self.redefined_at.get().is_none() {
            sleep(Duration::from_millis(1 + self.below(1_000))).await;
        }
        let is_old_until = self.redefined_at.get().map_or(0, |at| at + OLD_MS);
        sleep(Duration::from_millis(self.below(OLD_MS))).await;
        let mut refolded = BTreeSet::new();
        for key in KEYS.into_iter().filter(|key| self.world.aws.view_item(key).is_some()) {
            while timeout(FUNCTION_TIMEOUT, self.world.invoke_of(redefined, "trigger", &json!({"key": key})))
                .await
                .map_or(true, |answer| answer.is_err())
            {
                sleep(Duration::from_secs(1)).await;
            }
            refolded.insert(key);
        }
        self.reached("refolded beside an old definition", refolded.len() as u64);
        while now() < is_old_until {
            sleep(Duration::from_millis(1 + self.below(1_000))).await;
        }
        let left = KEYS.into_iter().filter(|key| !refolded.contains(key));
        self.lost.borrow_mut().extend(left.map(str::to_owned));
        self.is_refolded.set(true);
    }

    /// Somebody erases a key, and asks again until it is known to be done.
    async fn erases(&self) {
        let Some(key) = self.erased else { return };
        let waits = self.below(ERASED_WITHIN_MS);
        sleep(Duration::from_millis(waits)).await;
        while self.erased_to.borrow().is_none() && self.wrong.borrow().is_none() {
            let deployment = self.redefined.filter(|_| self.redefined_at.get().is_some());
            let invocation = self.world.invocation();
            let skew = if self.fires(Fault::Skew) { self.below(2 * SKEW_MS as u64) as i64 - SKEW_MS } else { 0 };
            let dies = self.draws(Fault::Crash);
            let time = if dies { Duration::from_millis(self.below(3_000)) } else { FUNCTION_TIMEOUT };
            let erasure = erase(deployment.unwrap_or(&self.world.deployment), key, &invocation);
            self.trace(("erase", key, skew));
            match timeout(time, ahead(skew, erasure)).await {
                Ok(Ok(erased)) => {
                    self.trace((&erased.through.timestamp, erased.rows));
                    self.reached("erased", 1);
                    *self.erased_to.borrow_mut() = Some(erased.through);
                }
                Err(_) if dies => self.fired(Fault::Crash, 1),
                _ => {}
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Runs a function until it is done, stops, or has no more time.
    async fn invokes(&self, function: &str, payload: &Value) -> Option<Value> {
        let skew = if self.fires(Fault::Skew) { self.below(2 * SKEW_MS as u64) as i64 - SKEW_MS } else { 0 };
        let dies = self.draws(Fault::Crash);
        let time = if dies { Duration::from_millis(self.below(3_000)) } else { FUNCTION_TIMEOUT };
        let invocation = self.world.invoke_of(self.deployment(), function, payload);
        self.trace((function, skew, payload.to_string()));
        let done = timeout(time, ahead(skew, invocation)).await;
        if dies && done.is_err() {
            self.fired(Fault::Crash, 1); // one that is done before is not met by it
        }
        let answer = done.ok()?.ok();
        self.trace((function, answer.as_ref().map(Value::to_string)));
        answer
    }

    async fn delivers(&self, function: &str, records: Vec<Record<Value>>) {
        if records.is_empty() {
            return;
        }
        self.busy.set(self.busy.get() + 1);
        let seed = self.below(u64::MAX);
        let delivered = deliver(&self.mapping, vec![records], seed, now, async |records: &[Record<Value>]| {
            let data: Vec<&Value> = records.iter().map(|record| &record.data).collect();
            match self.invokes(function, &json!({"Records": data})).await {
                Some(answer) => {
                    let mut failed = failures(&answer);
                    if self.fires(Fault::PartialBatch) {
                        failed.push(records[self.below(records.len() as u64) as usize].sequence_number.clone());
                    }
                    Answer::Failures(failed)
                }
                None => {
                    sleep(Duration::from_millis(self.below(2_000))).await;
                    Answer::Error
                }
            }
        });
        let delivered = delivered.await;
        self.fired(Fault::Redelivery, delivered.again);
        self.reached("bisected", delivered.bisections);
        self.busy.set(self.busy.get() - 1);
    }

    async fn consumes(&self, shard: usize) {
        while !self.is_over() {
            let records = std::mem::take(&mut self.stream.borrow_mut()[shard]);
            self.delivers("consumer", records).await;
            self.takes_changes();
            self.rests().await;
        }
    }

    /// Change records come on their stream, or are lost.
    fn takes_changes(&self) {
        let mut new = self.world.new_inserts();
        new.retain(|record| {
            let is_lost = self.fires(Fault::LostChange);
            if is_lost {
                let key = record.data["dynamodb"]["Keys"]["id"]["S"].as_str().unwrap_or_default();
                self.lost.borrow_mut().insert(key.to_owned());
            }
            !is_lost
        });
        self.spread(new, &self.changes);
    }

    async fn triggers(&self, shard: usize) {
        while !self.is_over() {
            self.takes_changes();
            let records = std::mem::take(&mut self.changes.borrow_mut()[shard]);
            self.delivers("trigger", records).await;
            let lost = self.lost.borrow_mut().pop_first();
            if let Some(key) = lost {
                self.refolds(&key).await;
            }
            self.rests().await;
        }
    }

    /// What an operator does where change records are lost, or a definition is new.
    async fn refolds(&self, key: &str) {
        self.busy.set(self.busy.get() + 1);
        while self.invokes("trigger", &json!({"key": key})).await.is_none() && self.wrong.borrow().is_none() {
            sleep(Duration::from_secs(1)).await;
        }
        self.reached("refolded by hand", 1);
        self.busy.set(self.busy.get() - 1);
    }

    /// Does what the queue of a function asks for, and at times what somebody asks for by hand.
    async fn asks(&self, function: &str) {
        while !self.is_over() {
            // What is trimmed cannot be folded by another definition.
            let is_on = function != "trim" || self.redefined.is_none();
            let messages = if is_on { self.world.aws.receive(function) } else { Vec::new() };
            for message in messages {
                let record = json!({"messageId": message.id, "body": message.body, "eventSource": "aws:sqs"});
                let done = self.invokes(function, &json!({"Records": [record]})).await;
                if done.is_none_or(|answer| !failures(&answer).is_empty()) {
                    self.world.aws.state().queues.entry(function.to_owned()).or_default().push(message);
                }
            }
            if is_on && self.below(self.by_hand_every) == 0 {
                let key = KEYS[self.below(KEYS.len() as u64) as usize];
                if self.invokes(function, &json!({"key": key})).await.is_none() && function == "trim" {
                    // Whoever did it by hand sees that it is not done.
                    let message = Message { id: "by hand".to_owned(), body: json!({"key": key}).to_string() };
                    self.world.aws.state().queues.entry(function.to_owned()).or_default().push(message);
                }
            }
            self.rests().await;
        }
    }

    /// What is on its way arrives; then everything is examined.
    async fn ends(&self, sent: &[Sent]) {
        self.is_calm.set(true);
        loop {
            sleep(Duration::from_secs(20)).await; // whatever was delayed has landed
            let new = self.world.new_inserts();
            if new.is_empty() {
                break;
            }
            self.delivers("trigger", new).await;
        }
        let deployment = self.redefined.unwrap_or(&self.world.deployment);
        if self.redefined.is_none() {
            self.world.drain("trim").await;
        }
        let found = self.found(deployment).await;
        if let Err(wrong) = examine(&deployment.join, sent, &found) {
            self.wrong(|| wrong);
        }
        self.archived();
        for metric in [Metric::Divergence, Metric::MarginBreach, Metric::Overflow, Metric::Incomplete] {
            let count = self.world.meter.get(metric);
            if count > 0.0 {
                self.wrong(|| format!("{count} times {metric:?}"));
            }
        }
    }

    async fn found(&self, deployment: &Deployment) -> Found {
        let mut found = Found::default();
        if let (Some(key), Some(through)) = (self.erased, &*self.erased_to.borrow()) {
            found.erased.insert(key.to_owned(), through.clone());
        }
        for change in self.world.aws.state().changes.iter().filter(|change| change["eventName"] == "INSERT") {
            let image = &change["dynamodb"]["NewImage"];
            if let (Some(key), Some(text)) = (image["id"]["S"].as_str(), image["event"]["S"].as_str()) {
                found.accepted.entry(key.to_owned()).or_default().push(text.to_owned());
            }
        }
        let text = |message: &Value, name: &str| message[name].as_str().unwrap_or_default().to_owned();
        found.late = self.world.queue("late").iter().map(|late| (text(late, "key"), text(late, "event"))).collect();
        let quarantined = self.world.queue("quarantine");
        let is_other_body = |message: &&Value| message["reason"] == Reason::Conflict.code();
        self.reached("same id, other body", quarantined.iter().filter(is_other_body).count() as u64);
        found.quarantined = quarantined.iter().map(|message| text(message, "text")).collect();
        let invocation = self.world.invocation();
        let store = deployment.store(&invocation);
        for key in KEYS {
            match (store.view(key).await, verified(&store, &deployment.join, key).await) {
                (Ok(Some(view)), Ok(differences)) => {
                    if !differences.is_empty() {
                        self.wrong(|| format!("{key}: {differences:?}"));
                    }
                    // Where definitions change, nothing is trimmed.
                    let erased = found.erased.get(key).filter(|_| self.redefined.is_none());
                    if let Some(through) = view.trimmed_to.as_ref().max(erased) {
                        let left = store.rows(key, None, Some(through)).await.map_or(1, |page| page.rows.len());
                        if left > 0 {
                            self.wrong(|| format!("{key}: {left} rows are left that were trimmed or erased"));
                        }
                    }
                    if !view.is_erased() {
                        found.documents.insert(key.to_owned(), view.state.document(&deployment.join, key));
                    }
                }
                (Ok(None), _) => {}
                (view, differences) => self.wrong(|| format!("{key} cannot be read: {view:?} {differences:?}")),
            }
        }
        found
    }

    /// Whatever is deleted was archived before, if so asked.
    fn archived(&self) {
        let state = self.world.aws.state();
        let mut lines = BTreeSet::new();
        for object in state.objects.values() {
            for line in String::from_utf8_lossy(object).lines() {
                let line: Value = serde_json::from_str(line).unwrap_or_default();
                lines.insert((line["key"].to_string(), line["position"].to_string()));
            }
        }
        let mut deleted = 0;
        for change in state.changes.iter().filter(|change| change["eventName"] == "REMOVE") {
            deleted += 1;
            let keys = &change["dynamodb"]["Keys"];
            let sequence = keys["sequence"]["S"].as_str().and_then(millpond_aws::items::position);
            let position = json!(sequence.map(|position| position.to_string())).to_string();
            let is_erased = self.erased.is_some_and(|key| keys["id"]["S"] == key);
            if self.world.deployment.archive && !is_erased && !lines.contains(&(keys["id"]["S"].to_string(), position))
            {
                self.wrong(|| format!("{keys} was deleted, and not archived"));
            }
        }
        self.reached("trimmed", deleted);
    }

    fn lived(self) -> Lived {
        let state = self.world.aws.state();
        let fired = state.fired;
        let meter = &self.world.meter;
        for (fault, count) in [
            (Fault::Refused, fired.refused),
            (Fault::Lost, fired.lost),
            (Fault::Delayed, fired.delayed),
            (Fault::Unprocessed, fired.partly),
            (Fault::Stale, fired.stale),
            (Fault::ShortPage, fired.short),
        ] {
            if count > 0 {
                self.fired(fault, count);
            }
        }
        for (state, metric) in [
            ("accepted", Metric::Accepted),
            ("duplicate", Metric::Duplicate),
            ("late", Metric::Late),
            ("quarantined", Metric::Quarantined),
            ("fast", Metric::Fast),
            ("refold", Metric::Refold),
            ("conflict", Metric::Conflict),
            ("snapshot", Metric::Snapshot),
        ] {
            self.reached(state, meter.get(metric) as u64);
        }
        self.trace(format!("{:?} {:?} {:?}", state.calls, state.queues, state.changes));
        self.trace((&state.objects, KEYS.map(|key| format!("{:?}", self.world.aws.view_item(key)))));
        self.trace(self.wrong.borrow().as_ref());
        let named = |(fault, count): (Fault, u64)| (fault.to_string(), count);
        Lived {
            trace: self.traced.get(),
            events: EVENTS,
            fired: self.fired.take().into_iter().filter(|(_, count)| *count > 0).map(named).collect(),
            reached: self.reached.take().into_iter().map(|(state, count)| (state.to_owned(), count)).collect(),
            wrong: self.wrong.take(),
        }
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
