//! Every group of figures, in a size that tells nothing but that it works: each checks its own answers and fails if
//! one is wrong.

use std::fs;
use std::path::Path;

use clap::ValueEnum;
use millpond_bench::generate::EXPECTED_FILE;
use millpond_bench::measure::{Bench, Figure, Group, Machine, Programs, markdown};

/// 2,000 events, and 20,000 keys at most.
const SCALE: f64 = 0.002;

/// 20,000 events: twenty batches, of which the last ones find something to close.
const SNAPSHOTS_SCALE: f64 = 0.02;

fn bench(dir: &Path, scale: f64) -> anyhow::Result<Bench> {
    let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_millpond-bench")))?;
    Ok(Bench { programs, dir: dir.to_owned(), runs: 1, scale })
}

fn check(group: Group, scale: f64, rows: usize) -> anyhow::Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let bench = bench(dir.path(), scale)?;
    let figures = bench.measure(&[group])?;
    let table = markdown(&Machine::of(&bench, Some("a day".into()))?, &figures);
    assert_eq!(figures.len(), rows, "{group:?}\n{table}");
    assert_eq!(table.lines().count(), rows + 4, "{table}");
    assert!(table.contains("a day") && figures.iter().all(|figure| figure.value.is_finite()), "{table}");
    Ok(figures)
}

fn value(figures: &[Figure], name: &str) -> f64 {
    let found = figures.iter().find(|figure| figure.name.contains(name));
    found.unwrap_or_else(|| panic!("no {name} in {figures:?}")).value
}

#[test]
fn a_file_runs_through_the_program_and_the_floor() -> anyhow::Result<()> {
    let figures = check(Group::Ingest, SCALE, 5 * 5 + 2)?;
    assert!(value(&figures, "on disk at the end") > 0.0);
    Ok(())
}

#[test]
fn single_events_take_turns_with_plain_appends() -> anyhow::Result<()> {
    check(Group::Latency, SCALE, 5).map(|_| ())
}

#[test]
fn histories_grow() -> anyhow::Result<()> {
    check(Group::History, SCALE, 5 + 4).map(|_| ())
}

#[test]
fn keys_grow() -> anyhow::Result<()> {
    let figures = check(Group::Keys, SCALE, 4 * 3)?;
    assert!(value(&figures, "20,000 keys, one run: peak memory") > 0.0);
    Ok(())
}

#[test]
fn a_killed_store_replays_every_commit_that_it_acknowledged() -> anyhow::Result<()> {
    let figures = check(Group::Reopen, SCALE, 2)?;
    // 2,500 events, 2 % of them twice: less than a memtable, so nothing but the log has them.
    assert_eq!(value(&figures, "commits"), 3.0);
    Ok(())
}

#[test]
fn reads_are_right() -> anyhow::Result<()> {
    check(Group::Reads, SCALE, 4 + 3).map(|_| ())
}

#[test]
fn snapshots_and_trims_happen_and_lose_nothing() -> anyhow::Result<()> {
    let figures = check(Group::Snapshots, SNAPSHOTS_SCALE, 6)?;
    assert!(value(&figures, "snapshots made") > 0.0 && value(&figures, "trimmed") > 0.0, "{figures:?}");
    Ok(())
}

#[test]
fn a_wrong_answer_is_no_figure() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = bench(dir.path(), SCALE)?;
    for group in [Group::Ingest, Group::Reads] {
        bench.measure(&[group])?;
        let expected = dir.path().join("inputs-2000-200-1").join(EXPECTED_FILE);
        let right = fs::read_to_string(&expected)?;
        fs::write(&expected, right.replacen("\"recentOrderCount\":", "\"recentOrderCount\":1", 1))?;
        let error = bench.measure(&[group]).expect_err("a count is wrong");
        assert!(format!("{error:#}").contains("wrong answer"), "{error:#}");
        fs::write(&expected, right)?;
    }
    Ok(())
}

#[test]
fn all_groups_are_tested_here() {
    assert_eq!(Group::value_variants().len(), 7);
}
