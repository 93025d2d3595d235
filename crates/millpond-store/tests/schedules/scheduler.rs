//! Tries a property under many schedules, and says how many there were.

use std::collections::HashSet;
use std::env;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::sync::mpsc;
use shuttle::thread::{self, Scope};
use shuttle::{Config, Runner};

/// So many that all properties together take less than a minute.
const SCHEDULES: usize = 400;
/// Changes of priority that a fault may need, and one more.
const PCT_DEPTH: usize = 4;
/// The tables need more than the default, and more without optimization.
const STACK_BYTES: usize = 2 << 20;

/// What was tried, told when it ends: whether well or not.
#[derive(Default)]
struct Tried {
    schedules: AtomicUsize,
    steps: AtomicUsize,
    distinct: Mutex<HashSet<u64>>,
}

/// A scheduler, and what it has decided.
struct Watched<S> {
    scheduler: S,
    decided: DefaultHasher,
    tried: Arc<Tried>,
}

impl<S: Scheduler> Scheduler for Watched<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let decided = std::mem::take(&mut self.decided).finish();
        self.tried.distinct.lock().unwrap().insert(decided);
        let schedule = self.scheduler.new_execution()?;
        self.tried.schedules.fetch_add(1, Ordering::Relaxed);
        Some(schedule)
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let next = self.scheduler.next_task(runnable, current, is_yielding)?;
        usize::from(next).hash(&mut self.decided);
        self.tried.steps.fetch_add(1, Ordering::Relaxed);
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.scheduler.next_u64()
    }
}

struct Report<'r> {
    name: &'r str,
    seed: u64,
    tried: Arc<Tried>,
    began: Instant,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let Tried { schedules, steps, distinct } = &*self.tried;
        let (schedules, steps) = (schedules.load(Ordering::Relaxed), steps.load(Ordering::Relaxed));
        // Each scheduler's first entry is that of nothing.
        let distinct = distinct.lock().unwrap().len().saturating_sub(1);
        let (name, seed, took) = (self.name, self.seed, self.began.elapsed().as_secs_f64());
        let verdict = if std::thread::panicking() { "FAILED in the last of" } else { "held under" };
        let each = steps / schedules.max(1);
        println!(
            "{name}: {verdict} {schedules} schedules, {distinct} distinct, of {each} steps; {took:.1} s, seed {seed}"
        );
    }
}

/// Whether a property holds, half of the schedules by chance, and half by priorities that change
/// a few times. How many were tried; 0 if one was repeated.
pub(crate) fn holds(name: &str, property: fn()) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    if let Ok(schedule) = env::var("MILLPOND_SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(property);
        return 0;
    }
    let schedules = number("MILLPOND_SCHEDULES").map_or(SCHEDULES, |schedules| schedules as usize);
    let seed = number("MILLPOND_SEED").unwrap_or_else(|| RandomState::new().hash_one(name));
    let report = Report { name, seed, tried: Arc::default(), began: Instant::now() };
    let watched = |scheduler| Watched { scheduler, decided: DefaultHasher::new(), tried: Arc::clone(&report.tried) };
    let by_chance: Box<dyn Scheduler + Send> = Box::new(RandomScheduler::new_from_seed(seed, schedules.div_ceil(2)));
    let by_priority = Box::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules / 2));
    for scheduler in [by_chance, by_priority] {
        Runner::new(watched(scheduler), config.clone()).run(property);
    }
    schedules
}

/// Threads that end with this. Shuttle wakes who opened a scope when the last thread of it ends, whatever
/// he waits for by then: so one waits for him.
pub(crate) fn scope<'env, T>(threads: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
    thread::scope(|scope| {
        let (open, closed) = mpsc::channel::<()>();
        scope.spawn(move || _ = closed.recv());
        let done = threads(scope);
        drop(open);
        done
    })
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not `{value}`")))
}
