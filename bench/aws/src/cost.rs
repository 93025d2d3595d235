//! Sends a workload through the functions, and counts what DynamoDB says that it costs.

use anyhow::{Result, ensure};
use millpond_aws::meter::Metric;
use millpond_aws_testkit::fake::{Call, VIEW};
use millpond_aws_testkit::world::World;

use crate::workload::{DEFINITION, Workload};

/// The functions that DynamoDB is used by.
pub const FUNCTIONS: [&str; 4] = ["consumer", "trigger", "snapshot", "trim"];
/// Records of a batch, at most.
const BATCH_MAX: usize = 100;
/// What a million units cost on demand.
pub const DOLLARS_A_MILLION_WRITES: f64 = 0.625;
/// What a million units cost on demand.
pub const DOLLARS_A_MILLION_READS: f64 = 0.125;

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Write units.
    pub writes: f64,
    /// Read units.
    pub reads: f64,
    /// Items that were read.
    pub items: f64,
}

/// What a workload cost.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its events.
    pub events: f64,
    /// By function, in the order of [`FUNCTIONS`].
    pub functions: [Cost; 4],
    /// Views that were folded from their tails.
    pub refolds: f64,
    /// Snapshots that were asked for, and those that closed something.
    pub snapshots: (f64, f64),
    /// Rows that were deleted.
    pub trimmed: f64,
}

impl Measured {
    /// All functions together.
    #[must_use]
    pub fn total(&self) -> Cost {
        let sum = |part: fn(&Cost) -> f64| self.functions.iter().map(part).sum();
        Cost { writes: sum(|cost| cost.writes), reads: sum(|cost| cost.reads), items: sum(|cost| cost.items) }
    }

    /// All functions together, an event.
    #[must_use]
    pub fn an_event(&self) -> Cost {
        self.total().over(self.events)
    }
}

impl Cost {
    /// A part.
    #[must_use]
    pub fn over(self, parts: f64) -> Self {
        Self { writes: self.writes / parts, reads: self.reads / parts, items: self.items / parts }
    }

    /// What a million times as much costs, in dollars.
    #[must_use]
    pub fn dollars_a_million(self) -> f64 {
        self.writes * DOLLARS_A_MILLION_WRITES + self.reads * DOLLARS_A_MILLION_READS
    }
}

/// Sends a workload in batches with one event a key.
///
/// # Errors
/// If a view is wrong in the end, an event is not in it, or the counts do not agree.
pub async fn measure(workload: &Workload) -> Result<Measured> {
    let world = World::new(DEFINITION);
    let mut keys: Vec<_> = (0..workload.keys).map(|key| (key, workload.delivery(key).into_iter())).collect();
    let (mut now, mut asked) = (0, 0);
    for _ in 0..workload.events_a_key {
        for batch in keys.chunks_mut(BATCH_MAX) {
            for (key, numbers) in batch {
                let number = numbers.next().expect("each key has as many events");
                now = now.max(workload.at(number));
                world.put([workload.event(*key, number)]);
            }
            world.at(now);
            world.settle_at_once().await;
            asked += world.aws.messages("snapshot").len();
            world.drain("snapshot").await;
            world.drain("trim").await;
        }
    }
    let measured = measured(&world, workload, asked);
    agree(&world, &measured)?;
    right(&world, workload).await?;
    Ok(measured)
}

fn measured(world: &World, workload: &Workload, asked: usize) -> Measured {
    let meters = world.meters.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cost = |function: &str| {
        let count = |metric| meters.get(function).map_or(0.0, |meter| meter.get(metric));
        Cost { writes: count(Metric::WriteUnits), reads: count(Metric::ReadUnits), items: count(Metric::ItemsRead) }
    };
    Measured {
        events: workload.events() as f64,
        functions: FUNCTIONS.map(cost),
        refolds: world.meter.get(Metric::Refold),
        snapshots: (asked as f64, world.meter.get(Metric::Snapshot)),
        trimmed: world.meter.get(Metric::Trimmed),
    }
}

/// What the functions have counted is what the answers said, and nothing was billed that no answer
/// tells of.
fn agree(world: &World, measured: &Measured) -> Result<()> {
    let calls = world.aws.state().calls.clone();
    let answered = answered(&calls);
    ensure!(measured.total() == answered, "counted {:?}, answered {answered:?}", measured.total());
    // A write whose condition does not hold is billed, and its answer does not say so.
    let refused = calls.iter().filter(|call| call.refused).count();
    ensure!(refused == 0, "{refused} call(s) were refused");
    Ok(())
}

/// What the answers say.
fn answered(calls: &[Call]) -> Cost {
    let mut cost = Cost::default();
    for call in calls {
        match &*call.operation {
            "GetItem" | "Query" | "Scan" => cost.reads += call.units,
            _ => cost.writes += call.units,
        }
        cost.items += call.items as f64;
    }
    cost
}

async fn right(world: &World, workload: &Workload) -> Result<()> {
    let events = world.meter.get(Metric::Accepted) as u64;
    ensure!(events == workload.events(), "{events} events were accepted of {}", workload.events());
    for key in 0..workload.keys {
        let (document, right) = (world.document(&format!("user-{key:06}")).await, workload.document(key));
        ensure!(document.as_ref() == Some(&right), "the view is {document:?}, and should be {right}");
    }
    Ok(())
}

/// The calls and units on the view table for so many events of one key in one batch of the change
/// stream; the key has a view already.
///
/// # Errors
/// If the view is wrong in the end.
pub async fn batch_of_one_key(events: u64) -> Result<Vec<Call>> {
    let world = World::new(DEFINITION);
    let workload = Workload { keys: 1, events_a_key: 1 + events, step_ms: 1_000, disorder: false };
    world.put([workload.event(0, 0)]);
    world.settle_at_once().await;
    world.aws.state().calls.clear();
    world.at(workload.at(events));
    world.put((1..=events).map(|number| workload.event(0, number)));
    world.settle_at_once().await;
    let calls = world.aws.state().calls.iter().filter(|call| call.table == VIEW).cloned().collect();
    right(&world, &workload).await?;
    Ok(calls)
}
