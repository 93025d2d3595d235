//! The proof of the disk can fail: what it records is all there is, and a store that would not wait
//! for the disk is found out.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::path::Path;

use fastrand::Rng;
use millpond_proof::disk::image::{Crash, image, unsynced_names};
use millpond_proof::disk::images::acked;
use millpond_proof::disk::look::look;
use millpond_proof::disk::oracle::Expected;
use millpond_proof::disk::record::{Op, Record, record};
use millpond_proof::scratch::scratch;

const SEED: u64 = 7;
const STEPS: usize = 12;

/// A recorded script, whose folder was just as the recorder says.
fn recorded() -> Record {
    let dir = scratch().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_millpond-proof"));
    let record = record(program, &dir.path().join("data"), &dir.path().join("trace"), SEED, STEPS).unwrap();
    assert_eq!(record.tree().difference(&dir.path().join("data")).unwrap(), None);
    record
}

/// How many power cuts, each just after a step was acknowledged, leave something wrong.
fn wrong_after_acks(ops: &[Op]) -> usize {
    let expected = Expected::new(SEED, STEPS);
    let acks = (0..ops.len()).filter(|index| matches!(ops[*index], Op::Ack(_)));
    let wrong = acks.filter(|index| {
        let ops = &ops[..=*index];
        let (tree, _) = image(ops, Crash::Journal, &mut Rng::with_seed(*index as u64));
        let dir = scratch().unwrap();
        tree.write_to(&dir.path().join("data")).unwrap();
        look(&dir.path().join("data"), &expected, acked(ops)).is_err()
    });
    wrong.count()
}

#[test]
fn a_log_that_is_not_synced_is_found_out() {
    let record = recorded();
    assert_eq!(wrong_after_acks(&record.ops), 0);
    let segments = record.numbers(|path| path.ends_with(".log"));
    let unsynced = |op: &Op| match op {
        Op::Sync { number, only_data, .. } if segments.contains(number) => {
            Op::Sync { number: *number, only_data: *only_data, covers: 0 }
        }
        op => op.clone(),
    };
    let without_syncs: Vec<Op> = record.ops.iter().map(unsynced).collect();
    assert!(wrong_after_acks(&without_syncs) > 0);
}

/// Fjall syncs what is in a table's folder and not the folder's name: a power cut on a file system
/// that takes POSIX by the letter took whole tables.
#[test]
fn the_names_of_the_tables_folders_last() {
    let names = unsynced_names(&recorded());
    assert_eq!(names.get("folder of a table"), None, "{names:?}");
}

/// A call that the recorder does not know would be missing so.
#[test]
fn what_is_lost_from_a_record_is_noticed() {
    let dir = scratch().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_millpond-proof"));
    let mut record = record(program, &dir.path().join("data"), &dir.path().join("trace"), SEED, STEPS).unwrap();
    let last = record.ops.iter().rposition(|op| matches!(op, Op::Write { .. })).unwrap();
    record.ops.remove(last);
    assert!(record.tree().difference(&dir.path().join("data")).unwrap().is_some());
}
