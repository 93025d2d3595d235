//! A few lives of each kind, each twice; and what is done with a life that fails.

use std::time::Duration;

use millpond_proof::lives::{Amount, Lived, live};
use millpond_proof::plan::{Fault, Plan, shrunk};
use millpond_proof::{drivers, engine};

fn some(lives: u64) -> Amount {
    Amount { seed: 0, lives, time: Duration::MAX, twice: true, shrinks: true }
}

#[test]
fn lives_of_the_drivers_end_well_and_are_the_same_each_time() {
    let report = live("drivers", "drivers", some(40), drivers::life);
    assert_eq!((report.runs, report.failures), (40, vec![]));
    assert!(report.reached["refold"] > 0 && report.reached["conflict"] > 0 && report.reached["late"] > 0);
}

#[test]
fn lives_of_the_engine_end_well_and_are_the_same_each_time() {
    let report = live("engine", "engine", some(40), engine::life);
    assert_eq!((report.runs, report.failures), (40, vec![]));
    assert!(report.reached["snapshot"] > 0 && report.reached["replayed"] > 0 && report.reached["rebuilt"] > 0);
}

#[test]
fn a_life_that_fails_is_made_short_and_printed_as_a_command() {
    // It fails by events 3 and 20, as long as answers are lost.
    let fails = |plan: &Plan| plan.keeps(3) && plan.keeps(20) && !plan.off.contains(&Fault::Lost);
    let plan =
        (0..).map(Plan::of).find(|plan| plan.weights().of(Fault::Lost) > 0).expect("answers are lost in some life");
    let short = shrunk(&plan, 36, 1_000, fails);
    assert_eq!(short.kept, [3, 20]);
    let left: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| short.weights().of(*fault) > 0).collect();
    assert_eq!(left, [Fault::Lost]);
    assert!(short.to_string().starts_with(&format!("--seed {} --keep 3,20 --off ", plan.seed)));
}

#[test]
fn what_a_life_comes_to_is_told_with_its_command_and_a_panic_is_a_failure() {
    let life = |plan: &Plan| {
        assert!(plan.seed != 2, "it cannot be");
        Lived { trace: plan.seed, ..Lived::default() }
    };
    let report = live("part", "program part", some(9), life);
    assert_eq!((report.runs, report.failures.len()), (3, 1));
    let failure = &report.failures[0];
    assert!(
        failure.replay.starts_with("program part --seed 2") && failure.what.contains("it cannot be"),
        "{failure:?}"
    );
}

#[test]
fn a_life_that_is_not_the_same_each_time_is_a_failure() {
    let count = std::cell::Cell::new(0);
    let life = |_: &Plan| Lived { trace: count.replace(count.get() + 1), ..Lived::default() };
    let report = live("part", "program part", some(9), life);
    assert!(report.failures[0].what.contains("differently each time"));
}
