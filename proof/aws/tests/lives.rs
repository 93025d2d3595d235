//! A few lives of the functions, each twice.

use std::time::Duration;

use millpond_proof::lives::{Amount, live};
use millpond_proof_aws::functions;

#[test]
fn lives_of_the_functions_end_well_and_are_the_same_each_time() {
    let some = Amount { seed: 0, lives: 8, time: Duration::MAX, twice: true, shrinks: true };
    let report = live("functions", "functions", some, functions::life);
    assert_eq!((report.runs, report.failures), (8, vec![]));
    assert!(report.reached["refold"] > 0 && report.reached["conflict"] > 0 && report.reached["late"] > 0);
}
