//! The files that `generate` writes, read back.

use std::fs;

use millpond_bench::generate::{EVENTS_FILE, EXPECTED_FILE, SHUFFLED_DOUBLED_FILE, generate};
use millpond_bench::oracle::Oracle;
use millpond_bench::workload::Workload;

#[test]
fn the_files_hold_what_their_summaries_say_and_either_gives_the_expected_views() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let workload = Workload { events: 5_000, keys: 500, ..Workload::default() };
    let summaries = generate(&workload, &dir.path().join("new"), true)?;
    let read = |file| fs::read_to_string(dir.path().join("new").join(file));
    let expected = read(EXPECTED_FILE)?;
    for summary in &summaries {
        let text = read(summary.file)?;
        assert_eq!((text.lines().count() as u64, text.len() as u64), (summary.lines, summary.bytes), "{summary}");
        if summary.file == EXPECTED_FILE {
            continue;
        }
        let mut oracle = Oracle::new();
        text.lines().try_for_each(|line| oracle.take(line))?;
        assert_eq!((oracle.distinct(), oracle.duplicates()), (summary.distinct, summary.duplicates), "{summary}");
        assert!(oracle.views().eq(expected.lines()), "{summary}");
    }
    let files: Vec<&str> = summaries.iter().map(|summary| summary.file).collect();
    assert_eq!(files, [EVENTS_FILE, SHUFFLED_DOUBLED_FILE, EXPECTED_FILE]);
    Ok(())
}

#[test]
fn the_shuffled_file_can_be_left_out() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    generate(&Workload::one_key(100), dir.path(), false)?;
    assert!(dir.path().join(EXPECTED_FILE).exists());
    assert!(!dir.path().join(SHUFFLED_DOUBLED_FILE).exists());
    Ok(())
}
