//! Prints what an event costs on AWS, or what the program of the functions is; ends with 1 if a target is
//! missed.
#![forbid(unsafe_code)]

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use millpond_bench_aws::cost::{Cost, batch_of_one_key, measure};
use millpond_bench_aws::lambda;
use millpond_bench_aws::table::{Row, is_one_read_and_one_write, markdown};
use millpond_bench_aws::workload::{LATENESS_MS, Workload};

/// Events of each workload.
const EVENTS: u64 = 10_000;
/// Histories, in events a key.
const LENGTHS: [u64; 4] = [10, 100, 1_000, 10_000];
/// So many events of a key are younger than `lateness`.
const WINDOW: u64 = 150;
/// The same where a tail that is just closed is as good as due again, `snapshot_every` being 100; and where
/// snapshots are the smallest.
const OTHER_WINDOWS: [u64; 2] = [199, 95];
/// Where all events are younger than `lateness`.
const STEP_MS: u64 = 1_000;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_met = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => cost()?,
        ["lambda"] => lambda::measure(Path::new("target/lambda"))?,
        ["lambda", programs] => lambda::measure(Path::new(programs))?,
        _ => bail!("usage: millpond-bench-aws [lambda [FOLDER-OF-THE-PROGRAMS]]"),
    };
    Ok(ExitCode::from(u8::from(!is_met)))
}

/// Prints the table of costs; whether all targets are met.
fn cost() -> Result<bool> {
    // The clock is one of the thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows: Vec<Row> = Vec::new();
    for (name, step_ms) in
        [("all younger than `lateness`", STEP_MS), ("150 of a key younger than `lateness`", LATENESS_MS / WINDOW)]
    {
        let mut shortest: Option<Cost> = None;
        for events_a_key in LENGTHS {
            let what = format!("{events_a_key} a key, {name}");
            let workload = Workload { keys: EVENTS / events_a_key, events_a_key, step_ms, disorder: false };
            let row = runtime.block_on(row(what, workload, shortest))?;
            shortest = row.shortest;
            rows.push(row);
        }
    }
    for window in OTHER_WINDOWS {
        let what = format!("{EVENTS} a key, {window} of a key younger than `lateness`");
        let workload = Workload { keys: 1, events_a_key: EVENTS, step_ms: LATENESS_MS / window, disorder: false };
        rows.push(runtime.block_on(row(what, workload, rows[0].shortest))?);
    }
    for (events_a_key, name, step_ms) in
        [(100, "all", STEP_MS), (1_000, "all", STEP_MS), (1_000, "150 of a key", LATENESS_MS / WINDOW)]
    {
        let what = format!("{events_a_key} a key, {name} younger than `lateness`, 5 % out of order");
        let workload = Workload { keys: EVENTS / events_a_key, events_a_key, step_ms, disorder: true };
        let row = runtime.block_on(row(what, workload, None))?;
        rows.push(Row { shortest: None, ..row });
    }
    let batch = runtime.block_on(batch_of_one_key(100))?;
    print!("{}", markdown(&rows, &batch));
    let is_met = rows.iter().all(|row| row.missed().is_none_or(|missed| missed.is_empty()));
    Ok(is_met && is_one_read_and_one_write(&batch))
}

/// Measures a workload; without another, its history is the shortest.
async fn row(what: String, workload: Workload, shortest: Option<Cost>) -> Result<Row> {
    eprintln!("{what}");
    let measured = measure(&workload).await?;
    let shortest = Some(shortest.unwrap_or_else(|| measured.an_event()));
    Ok(Row { what, measured, shortest })
}
