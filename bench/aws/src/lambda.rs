//! What the program of the functions is: its size, its start, its memory.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use millpond_aws_testkit::http::serve;
use millpond_aws_testkit::lambda::Lambda;
use millpond_aws_testkit::world::{T, World};
use serde_json::{Value, json};

use crate::workload::DEFINITION;

/// Starts that are measured.
const STARTS: usize = 21;
/// Batches of 100 records that are handed over one after the other.
const BATCHES: usize = 50;
const RECORDS: u64 = 100;

/// What a package may have, as Lambda takes it, in bytes.
pub const ZIP_MAX: u64 = 5_000_000;
/// What it may take from its start until it asks for work.
pub const START_MAX: Duration = Duration::from_millis(50);

/// Measures the programs in a folder, and prints a table; whether all is as it should be.
///
/// # Errors
/// If they are not there, or do not do what they should.
pub fn measure(programs: &Path) -> Result<bool> {
    let folder = std::env::temp_dir().join(format!("millpond-lambda-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure_in(programs, &folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure_in(programs: &Path, folder: &Path) -> Result<bool> {
    let definition = folder.join("join.toml");
    fs::write(&definition, DEFINITION)?;
    let bootstrap = programs.join("bootstrap");
    let program = fs::metadata(&bootstrap).with_context(|| {
        format!("{}: build it with `cargo build --profile lambda -p millpond-aws`", bootstrap.display())
    })?;
    let zip = folder.join("package.zip");
    let packed = Command::new(programs.join("millpond-aws"))
        .args([Path::new("package"), &definition, Path::new("--out"), &zip])
        .stdout(Stdio::null())
        .status()?;
    ensure!(packed.success(), "millpond-aws package failed");
    let zipped = fs::metadata(&zip)?.len();
    println!("| what | measured | target |\n|---|--:|--:|");
    println!("| the program, the package: bytes | {}, {zipped} | -, {ZIP_MAX} |", program.len());

    let mut starts: Vec<Duration> = (0..STARTS).map(|_| start(&bootstrap, folder)).collect();
    starts.sort();
    let (shortest, median, longest) = (starts[0], starts[STARTS / 2], starts[STARTS - 1]);
    println!(
        "| from the start of the process until it asks for work, {STARTS} times: shortest, median, longest | {:.1}, {:.1}, {:.1} ms | {} ms |",
        milliseconds(shortest),
        milliseconds(median),
        milliseconds(longest),
        START_MAX.as_millis(),
    );
    for (what, keys, tail) in [
        ("100 keys", RECORDS, 0),
        ("one key", 1, 0),
        ("one key, out of order: its tail of 5,000 is folded anew", 1, 5_000),
    ] {
        let Batches { peak_kb, median } = batches(&bootstrap, folder, keys, tail)?;
        println!(
            "| `trigger`, {BATCHES} batches of {RECORDS} records of {what}: peak memory, median time | {:.1} MB, {:.1} ms | |",
            peak_kb as f64 / 1024.0,
            milliseconds(median),
        );
    }
    Ok(zipped <= ZIP_MAX && median <= START_MAX)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn start(bootstrap: &Path, folder: &Path) -> Duration {
    let began = Instant::now();
    let mut lambda = Lambda::start(bootstrap, folder, "http://127.0.0.1:1", &[("_HANDLER", "trigger")]);
    lambda.wait();
    let took = began.elapsed();
    let _ = lambda.stop();
    took
}

struct Batches {
    peak_kb: u64,
    median: Duration,
}

/// Has a `trigger` of its own process take batches whose rows are in the tables.
fn batches(bootstrap: &Path, folder: &Path, keys: u64, tail: u64) -> Result<Batches> {
    let world = World::new(DEFINITION);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let order = |key: u64, n: u64| {
        let order = json!({"userId": format!("user-{key:04}")});
        json!({"id": format!("order-{n:08}"), "type": "order-submitted", "timestamp": T - 1_000_000 + n, "order": order})
            .to_string()
    };
    // A tail that is in the view, and then what is new, older than it.
    let first = BATCHES as u64 * RECORDS;
    world.put((0..tail).map(|n| order(0, first + n)));
    runtime.block_on(world.settle_at_once());
    world.put((0..first).map(|n| order(n % keys, n)));
    runtime.block_on(world.consume_at_once());
    let changes: Vec<Value> = world.aws.state().changes[tail as usize..].to_vec();
    let endpoint = format!("http://{}", serve(&world.aws));
    let mut lambda = Lambda::start(bootstrap, folder, &endpoint, &[("_HANDLER", "trigger")]);
    lambda.wait();
    let mut took = Vec::new();
    for records in changes.chunks(RECORDS as usize) {
        let payload = json!({"Records": records}).to_string();
        let began = Instant::now();
        let answer = lambda.invoke(&payload);
        took.push(began.elapsed());
        ensure!(answer.is_done && answer.body == json!({"batchItemFailures": []}), "{}", answer.body);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", lambda.function.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("Linux tells the peak")?;
    let peak_kb = peak.trim().trim_end_matches(" kB").parse()?;
    let _ = lambda.stop();
    for key in 0..keys {
        let key = format!("user-{key:04}");
        ensure!(runtime.block_on(world.differences(&key)) == 0, "{key} is not right");
    }
    took.sort();
    Ok(Batches { peak_kb, median: took[took.len() / 2] })
}
