//! A server under load, in a size that tells nothing but that it works: each measurement checks its own answers and
//! fails if one is wrong. Nothing is said about speed.

use std::path::Path;
use std::time::Duration;

use millpond_bench::measure::{Bench, Measured, Programs, Steady};

fn bench(dir: &Path, scale: f64) -> anyhow::Result<Bench> {
    let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_millpond-bench")))?;
    Ok(Bench { programs, dir: dir.to_owned(), runs: 1, scale })
}

fn value(measured: &Measured, name: &str) -> f64 {
    let found = measured.figures.iter().find(|figure| figure.name.contains(name));
    found.unwrap_or_else(|| panic!("no {name} in {:#?}", measured.figures)).value
}

#[test]
fn the_workload_over_http_gives_the_views_that_run_gives() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let measured = bench(dir.path(), 0.002)?.serve_peak()?;
    assert_eq!(measured.figures.len(), 1 + 9 * 3 + 3, "{measured:#?}");
    assert!(measured.figures.iter().all(|figure| figure.value.is_finite()), "{measured:#?}");
    Ok(())
}

#[test]
fn a_steady_load_fails_nowhere_and_all_that_was_acknowledged_is_there() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let steady =
        Steady { lasts: Duration::from_secs(8), share_percent: 30, keys: 500, connections: 4, batch_events: 20 };
    let measured = bench(dir.path(), 1.0)?.serve_steady(&steady)?;
    assert_eq!((value(&measured, "requests that failed"), &measured.failures), (0.0, &Vec::new()));
    let positive = ["events acknowledged", "acknowledged to read", "told to a reader", "snapshots made", "trimmed"];
    for name in positive {
        assert!(value(&measured, name) > 0.0, "{name}: {measured:#?}");
    }
    assert!(measured.samples.len() >= 8, "{measured:#?}");
    Ok(())
}
