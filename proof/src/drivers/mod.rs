//! The drivers of the four processes, as they are, over a store, streams, mappings, queues and
//! clocks that do whatever they may: one key has many writers, and each may be met at any call.

mod store;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use millpond_core::Join;
use millpond_core::process::consumer::{Boundary, Outcome, consume};
use millpond_core::process::snapshot::snapshot;
use millpond_core::process::trigger::{Triggered, refold, trigger};
use millpond_core::process::trim::trim_archived;
use millpond_core::process::verified;
use millpond_core::snapshot::Closing;
use millpond_core::store::Row;
use millpond_testkit::mapping::{Answer, Mapping, Record, deliver};

use crate::events::{DEFINITION, EVENTS, KEYS, MINUTE, Sent, T, definition, examine, sent};
use crate::lives::Lived;
use crate::plan::{Fault, Plan};
use crate::sim::{Hub, Task, point, run};
use store::{Calls, MARGIN, World};

/// Shards of the stream of events, and of the change stream.
const SHARDS: usize = 3;
const BOUNDARY: Boundary = Boundary::Clock { margin_ms: MARGIN };

/// What is on its way on each shard of a stream.
type Stream<D> = RefCell<Vec<Vec<Record<D>>>>;

/// What is on its way between the functions.
struct Deployment<'l> {
    world: &'l World,
    join: &'l Join,
    mapping: Mapping,
    stream: Stream<String>,
    changes: Stream<(String, Row)>,
    snapshots: RefCell<Vec<String>>,
    trims: RefCell<Vec<String>>,
    /// Records that were put on a stream.
    put: Cell<u64>,
    /// Records are spread over shards by this.
    epoch: Cell<usize>,
    /// Batches under way.
    busy: Cell<usize>,
    is_sent: Cell<bool>,
}

/// Lives a life.
///
/// # Panics
/// If what the life is made from is not as it should be.
#[must_use]
pub fn life(plan: &Plan) -> Lived {
    let join = Join::parse(&definition(DEFINITION, plan)).expect("it is a definition");
    let hub = Hub::new(plan, T);
    let sent = sent(plan, |fault| hub.fired(fault));
    let world = World::new(hub);
    let mut chance = plan.chance(3);
    let mapping = Mapping {
        batch_max: chance.usize(1..9),
        bisects: chance.bool(),
        retries_max: None,
        lanes: chance.usize(1..3),
        again_percent: world.hub.weight(Fault::Redelivery),
        ..Mapping::default()
    };
    let deployment = Deployment {
        world: &world,
        join: &join,
        mapping,
        stream: RefCell::new(vec![Vec::new(); SHARDS]),
        changes: RefCell::new(vec![Vec::new(); SHARDS]),
        snapshots: RefCell::default(),
        trims: RefCell::default(),
        put: Cell::new(0),
        epoch: Cell::new(0),
        busy: Cell::new(0),
        is_sent: Cell::new(false),
    };
    let mut tasks: Vec<Task<'_>> = vec![Box::pin(deployment.sends(&sent))];
    for shard in 0..SHARDS {
        tasks.push(Box::pin(deployment.consumes(shard)));
        tasks.push(Box::pin(deployment.triggers(shard)));
    }
    for _ in 0..2 {
        tasks.push(Box::pin(deployment.closes()));
        tasks.push(Box::pin(deployment.deletes()));
    }
    let hub = &world.hub;
    run(hub, tasks, || {
        if hub.below(8) == 0 {
            world.pass(hub.below(5_000) as u64);
        }
        if hub.below(16) == 0 {
            world.land_one();
        }
        if hub.below(64) == 0 && hub.fires(Fault::ClockJump) {
            world.pass(hub.below(30 * MINUTE as usize) as u64);
        }
        if hub.below(64) == 0 && hub.fires(Fault::Reshard) {
            deployment.epoch.set(hub.below(100));
        }
    });
    let mut end: Vec<Task<'_>> = vec![Box::pin(deployment.verifies())];
    if !hub.is_wrong() {
        run(hub, std::mem::take(&mut end), || ());
    }
    if !hub.is_wrong()
        && let Err(wrong) = examine(&join, &sent, &world.found(&join))
    {
        hub.wrong(|| wrong);
    }
    hub.lived(EVENTS)
}

impl Deployment<'_> {
    fn shard_of(&self, item: &str) -> usize {
        let hash = item.bytes().fold(self.epoch.get(), |hash, byte| hash.wrapping_mul(31) + usize::from(byte));
        hash % SHARDS
    }

    fn record<D>(&self, item: &str, data: D) -> Record<D> {
        let number = self.put.get();
        self.put.set(number + 1);
        let sequence_number = format!("{number:021}");
        Record { sequence_number, item: item.to_owned(), at: self.world.hub.now(), data }
    }

    /// Whether nothing will come any more.
    fn is_over(&self) -> bool {
        let streams_are_empty =
            self.stream.borrow().iter().all(Vec::is_empty) && self.changes.borrow().iter().all(Vec::is_empty);
        self.is_sent.get() && self.busy.get() == 0 && streams_are_empty && self.world.is_still()
    }

    /// Producers: each event at its time, or when nothing else is to be done.
    async fn sends(&self, sent: &[Sent]) {
        for one in sent {
            while self.world.hub.now() < one.at {
                let is_idle = self.busy.get() == 0 && self.stream.borrow().iter().all(Vec::is_empty);
                if is_idle && self.world.is_still() && self.world.hub.below(4) == 0 {
                    self.world.pass(one.at - self.world.hub.now());
                }
                point().await;
            }
            let key = one.keys.first().copied().unwrap_or("?");
            let record = self.record(key, one.text.clone());
            self.stream.borrow_mut()[self.shard_of(key)].push(record);
        }
        self.is_sent.set(true);
    }

    /// Runs a function until it is done, stops, or has no more time.
    async fn invoke<R: Debug>(&self, calls: &Calls<'_>, function: impl Future<Output = R>) -> Option<R> {
        let mut function = pin!(function);
        let done = poll_fn(|context| {
            if calls.is_over() {
                return Poll::Ready(None);
            }
            function.as_mut().poll(context).map(Some)
        });
        let done = done.await;
        self.world.hub.trace(format!("{done:?}"));
        done
    }

    /// The consumer's mapping of a shard.
    async fn consumes(&self, shard: usize) {
        while !self.is_over() {
            let records = std::mem::take(&mut self.stream.borrow_mut()[shard]);
            self.delivers(records, async |records: &[Record<String>]| self.consume(records).await).await;
            point().await;
        }
    }

    async fn delivers<D: Clone>(&self, records: Vec<Record<D>>, function: impl AsyncFn(&[Record<D>]) -> Answer) {
        if records.is_empty() {
            return;
        }
        self.busy.set(self.busy.get() + 1);
        let seed = self.world.hub.below(1 << 30) as u64;
        let hub = &self.world.hub;
        let delivered = deliver(&self.mapping, vec![records], seed, || hub.now(), function).await;
        (0..delivered.again).for_each(|_| hub.fired(Fault::Redelivery));
        hub.reached("bisected", delivered.bisections);
        self.busy.set(self.busy.get() - 1);
    }

    async fn consume(&self, records: &[Record<String>]) -> Answer {
        let calls = Calls::new(self.world);
        let hub = &self.world.hub;
        let batch = async {
            let mut failed = Vec::new();
            for record in records {
                let now = calls.now();
                match consume(&calls, self.join, record.data.as_bytes(), now, BOUNDARY).await {
                    Ok(outcomes) => {
                        hub.trace(format!("{outcomes:?}"));
                        let accepted = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted { .. }));
                        hub.reached("accepted", accepted.count() as u64);
                    }
                    Err(_) => failed.push(record.sequence_number.clone()),
                }
                if hub.fires(Fault::PartialBatch) {
                    failed.push(record.sequence_number.clone());
                }
            }
            Answer::Failures(failed)
        };
        self.invoke(&calls, batch).await.unwrap_or(Answer::Error)
    }

    /// The trigger's mapping of a shard of the change stream.
    async fn triggers(&self, shard: usize) {
        while !self.is_over() {
            let new: Vec<(String, Row)> = std::mem::take(&mut self.world.tables().changes);
            for (key, row) in new {
                let item = format!("{key} {}", row.position);
                let record = self.record(&item, (key, row));
                self.changes.borrow_mut()[self.shard_of(&item)].push(record);
            }
            let records = std::mem::take(&mut self.changes.borrow_mut()[shard]);
            self.delivers(records, async |records: &[Record<(String, Row)>]| self.trigger(records).await).await;
            self.refolds().await;
            point().await;
        }
    }

    async fn trigger(&self, records: &[Record<(String, Row)>]) -> Answer {
        let calls = Calls::new(self.world);
        let batch = async {
            let mut failed = Vec::new();
            for key in KEYS {
                let of_key: Vec<_> = records.iter().filter(|record| record.data.0 == key).collect();
                let mut rows: Vec<Row> = of_key.iter().map(|record| record.data.1.clone()).collect();
                if rows.is_empty() {
                    continue;
                }
                if self.world.hub.fires(Fault::Redelivery) {
                    rows.push(rows[self.world.hub.below(rows.len())].clone()); // twice in one batch
                }
                match trigger(&calls, self.join, key, &rows).await {
                    Ok(done) => self.tell(key, &done),
                    Err(_) => failed.extend(of_key.iter().map(|record| record.sequence_number.clone())),
                }
                if self.world.hub.fires(Fault::PartialBatch) {
                    failed.push(of_key[0].sequence_number.clone());
                }
            }
            Answer::Failures(failed)
        };
        self.invoke(&calls, batch).await.unwrap_or(Answer::Error)
    }

    fn tell(&self, key: &str, done: &Triggered) {
        let hub = &self.world.hub;
        hub.trace(format!("{done:?}"));
        hub.reached("refold", u64::from(done.written && done.refolded));
        hub.reached("fast", u64::from(done.written && !done.refolded));
        if done.diverged {
            hub.wrong(|| format!("{key}: folding step by step gave another view than folding anew"));
        }
        if done.breaches > 0 {
            hub.wrong(|| format!("{key}: a row was written after its place was closed"));
        }
        if done.wants_snapshot {
            self.snapshots.borrow_mut().push(key.to_owned());
        }
    }

    /// What an operator does where change records are lost.
    async fn refolds(&self) {
        let lost = self.world.tables().lost.pop_first();
        let Some(key) = lost else { return };
        self.busy.set(self.busy.get() + 1);
        loop {
            let calls = Calls::new(self.world);
            match self.invoke(&calls, refold(&calls, self.join, &key)).await {
                Some(Ok(done)) => break self.tell(&key, &done),
                _ => point().await,
            }
        }
        self.world.hub.reached("refolded by hand", 1);
        self.busy.set(self.busy.get() - 1);
    }

    /// A key that a queue asks for, or, at times, any.
    fn asked(&self, queue: &RefCell<Vec<String>>) -> Option<String> {
        match queue.borrow_mut().pop() {
            None if self.world.hub.below(64) == 0 => Some(KEYS[self.world.hub.below(KEYS.len())].to_owned()),
            asked => asked,
        }
    }

    async fn closes(&self) {
        while !self.is_over() {
            if let Some(key) = self.asked(&self.snapshots) {
                let calls = Calls::new(self.world);
                let now = calls.now();
                let closing = snapshot(&calls, self.join, &key, now, Closing::Elapsed);
                match self.invoke(&calls, closing).await {
                    Some(Ok(done)) if done.trim_due => self.trims.borrow_mut().push(key),
                    Some(Ok(_)) => {}
                    _ => self.snapshots.borrow_mut().push(key),
                }
            }
            point().await;
        }
    }

    async fn deletes(&self) {
        while !self.is_over() {
            if let Some(key) = self.asked(&self.trims) {
                let calls = Calls::new(self.world);
                self.world.tables().trimming.insert(key.clone());
                let archive = async |rows: &[Row]| {
                    point().await;
                    let places = rows.iter().map(|row| (key.clone(), row.position.clone()));
                    self.world.tables().archived.extend(places);
                    Ok(())
                };
                let done = self.invoke(&calls, trim_archived(&calls, &key, archive)).await;
                self.world.tables().trimming.remove(&key);
                match done {
                    Some(Ok(done)) if done.left == 0 => {}
                    _ => self.trims.borrow_mut().push(key.clone()),
                }
            }
            point().await;
        }
    }

    /// At rest, each view is the fold of its snapshot and its tail.
    async fn verifies(&self) {
        for key in KEYS {
            loop {
                let calls = Calls::new(self.world);
                match self.invoke(&calls, verified(&calls, self.join, key)).await {
                    Some(Ok(differences)) if differences.is_empty() => break,
                    Some(Ok(differences)) => {
                        return self.world.hub.wrong(|| format!("{key}: {differences:?}"));
                    }
                    _ => point().await,
                }
            }
        }
    }
}
