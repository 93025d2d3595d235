//! The law of cost, in a size that takes seconds: what an event costs does not grow with its key's
//! history. The whole table is that of the command.

use anyhow::Result;
use millpond_bench_aws::cost::{Measured, batch_of_one_key, measure};
use millpond_bench_aws::table::{Row, is_one_read_and_one_write};
use millpond_bench_aws::workload::{LATENESS_MS, Workload};

const EVENTS: u64 = 1_000;
/// All events are younger than `lateness`; or 150 of a key are, or 199: where a tail that is just closed is as good
/// as due again.
const STEPS_MS: [u64; 3] = [1_000, LATENESS_MS / 150, LATENESS_MS / 199];

async fn of(events_a_key: u64, step_ms: u64) -> Result<Measured> {
    measure(&Workload { keys: EVENTS / events_a_key, events_a_key, step_ms, disorder: false }).await
}

#[tokio::test]
async fn a_batch_of_one_key_is_one_read_and_one_write() -> Result<()> {
    let calls = batch_of_one_key(100).await?;
    assert!(is_one_read_and_one_write(&calls), "{calls:?}");
    assert_eq!(calls.iter().map(|call| call.units).collect::<Vec<_>>(), [0.5, 1.0]);
    Ok(())
}

#[tokio::test]
async fn an_event_costs_the_same_whatever_the_history() -> Result<()> {
    for step_ms in STEPS_MS {
        let shortest = of(10, step_ms).await?.an_event();
        for events_a_key in [10, 500] {
            let what = format!("{events_a_key} a key");
            let measured = of(events_a_key, step_ms).await?;
            let [consumer, trigger, ..] = measured.functions;
            assert_eq!((consumer.writes, consumer.reads, trigger.writes), (1_000.0, 0.0, 1_000.0));
            let row = Row { what, measured, shortest: Some(shortest) };
            assert_eq!(row.missed(), Some(Vec::new()), "{row:?}");
        }
    }
    Ok(())
}

/// The trim's deletions and the snapshots are in the sum.
#[tokio::test]
async fn what_is_closed_is_paid_for() -> Result<()> {
    let measured = of(500, STEPS_MS[1]).await?;
    let [.., snapshot, trim] = measured.functions;
    assert!(measured.snapshots.1 > 0.0 && measured.trimmed > 0.0, "{measured:?}");
    assert_eq!(snapshot.writes, measured.snapshots.1);
    assert_eq!(trim.writes, measured.trimmed + measured.snapshots.1);
    Ok(())
}
