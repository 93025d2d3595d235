//! Lives by the thousand: each from its seed, each fault counted, each failure made short.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::plan::{Fault, Plan, shrunk};
use crate::report::{Failure, Report};

/// What a life came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lived {
    /// A hash of every decision and every answer.
    pub trace: u64,
    /// Events that the seed has.
    pub events: usize,
    /// Faults that fired.
    pub fired: BTreeMap<String, u64>,
    /// States that were reached.
    pub reached: BTreeMap<String, u64>,
    /// What must not be.
    pub wrong: Option<String>,
}

/// Which lives, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// The first seed.
    pub seed: u64,
    /// At most so many.
    pub lives: u64,
    /// No new one after so long.
    pub time: Duration,
    /// Whether each is lived twice, and must be the same.
    pub twice: bool,
    /// Whether a failing life is made shorter.
    pub shrinks: bool,
}

/// Tries while a failing life is made shorter.
const SHRINKS_MAX: usize = 400;

/// Lives until the first failure, or until it is enough.
pub fn live(part: &str, command: &str, amount: Amount, life: impl Fn(&Plan) -> Lived) -> Report {
    let mut report = Report::new(part, if amount.twice { "seeds, each twice" } else { "seeds" });
    std::panic::set_hook(Box::new(|_| ())); // a panic is told as what a life came to
    // A fault that never fires is to be seen, too.
    Fault::ALL.iter().for_each(|fault| report.fired(&fault.to_string(), 0));
    let began = Instant::now();
    for seed in amount.seed..amount.seed.saturating_add(amount.lives) {
        if report.runs > 0 && began.elapsed() >= amount.time {
            break;
        }
        let plan = Plan::of(seed);
        let lived = caught(&life, &plan);
        report.runs += 1;
        lived.fired.iter().for_each(|(kind, count)| report.fired(kind, *count));
        lived.reached.iter().for_each(|(state, count)| report.reached(state, *count));
        if let Some(wrong) = &lived.wrong {
            let tries = if amount.shrinks { SHRINKS_MAX } else { 0 };
            let short = shrunk(&plan, lived.events, tries, |plan| caught(&life, plan).wrong.is_some());
            let shortest = caught(&life, &short).wrong.unwrap_or_else(|| wrong.clone());
            let what = format!("{wrong}\nmade shorter: {shortest}");
            report.failures.push(Failure { replay: format!("{command} {short}"), what });
            break;
        }
        if amount.twice {
            let again = caught(&life, &plan);
            if again != lived {
                let what = format!("seed {seed} lives differently each time");
                report.failures.push(Failure { replay: format!("{command} {plan} --twice"), what });
                break;
            }
        }
    }
    report.timed()
}

/// A life that panics has failed.
fn caught(life: impl Fn(&Plan) -> Lived, plan: &Plan) -> Lived {
    catch_unwind(AssertUnwindSafe(|| life(plan))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        Lived { wrong: Some(format!("a panic: {}", said.unwrap_or("?"))), events: 64, ..Lived::default() }
    })
}
