//! One thread on which everything happens in an order that a seed chooses, and a clock that goes
//! only as it is told.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use fastrand::Rng;

use crate::plan::{Fault, Plan, Weights};

/// After so many steps of a life nothing goes wrong any more: then it must come to an end.
const STEPS_UNTIL_CALM: u64 = 40_000;
/// Steps of a life; one that has more does not end.
const STEPS_MAX: u64 = 200_000;

/// What all tasks of a life share.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    chance: Rng,
    weights: Weights,
    is_calm: bool,
    now: u64,
    trace: u64,
    fired: BTreeMap<Fault, u64>,
    reached: BTreeMap<&'static str, u64>,
    wrong: Option<String>,
}

impl Hub {
    /// A hub whose clock stands at `now`.
    #[must_use]
    pub fn new(plan: &Plan, now: u64) -> Self {
        let (chance, weights) = (plan.chance(1), plan.weights());
        let (fired, reached) = (BTreeMap::new(), BTreeMap::new());
        Self {
            inner: Mutex::new(Inner { chance, weights, is_calm: false, now, trace: 0, fired, reached, wrong: None }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The true time, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.inner().now
    }

    /// Lets time pass.
    pub fn pass(&self, ms: u64) {
        self.inner().now += ms;
    }

    /// Whether a fault happens here; it is counted.
    #[must_use]
    pub fn fires(&self, fault: Fault) -> bool {
        let fires = self.draws(fault);
        if fires {
            self.fired(fault);
        }
        fires
    }

    /// Whether a fault is to happen; whoever sees it happen counts it.
    #[must_use]
    pub fn draws(&self, fault: Fault) -> bool {
        let mut inner = self.inner();
        let percent = inner.weights.of(fault);
        percent > 0 && !inner.is_calm && inner.chance.u32(..100) < percent
    }

    /// From now on, nothing goes wrong.
    pub fn calm(&self) {
        self.inner().is_calm = true;
    }

    /// Counts a fault that was decided elsewhere.
    pub fn fired(&self, fault: Fault) {
        self.trace(fault);
        *self.inner().fired.entry(fault).or_default() += 1;
    }

    /// How often a fault happens, in percent.
    #[must_use]
    pub fn weight(&self, fault: Fault) -> u32 {
        self.inner().weights.of(fault)
    }

    /// A number below `end`, which is not 0.
    #[must_use]
    pub fn below(&self, end: usize) -> usize {
        self.inner().chance.usize(..end)
    }

    /// Counts that a state was reached.
    pub fn reached(&self, state: &'static str, count: u64) {
        if count > 0 {
            *self.inner().reached.entry(state).or_default() += count;
        }
    }

    /// Puts down what happened; with `MILLPOND_TRACE` in the environment, for people as well.
    pub fn trace(&self, what: impl Hash + fmt::Debug) {
        static IS_TOLD: LazyLock<bool> = LazyLock::new(|| env::var_os("MILLPOND_TRACE").is_some());
        // Its keys are fixed: the same on every run.
        let mut hasher = DefaultHasher::new();
        let mut inner = self.inner();
        if *IS_TOLD {
            eprintln!("{} {what:?}", inner.now);
        }
        inner.trace.hash(&mut hasher);
        inner.now.hash(&mut hasher);
        what.hash(&mut hasher);
        inner.trace = hasher.finish();
    }

    /// Puts down the first thing that must not be.
    pub fn wrong(&self, what: impl FnOnce() -> String) {
        let mut inner = self.inner();
        if inner.wrong.is_none() {
            inner.wrong = Some(what());
        }
    }

    /// Whether something must not be.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.inner().wrong.is_some()
    }

    /// What the life came to.
    #[must_use]
    pub fn lived(&self, events: usize) -> crate::lives::Lived {
        let inner = self.inner();
        crate::lives::Lived {
            trace: inner.trace,
            events,
            fired: inner.fired.iter().map(|(fault, count)| (fault.to_string(), *count)).collect(),
            reached: inner.reached.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect(),
            wrong: inner.wrong.clone(),
        }
    }
}

/// Somebody else may go on here.
pub async fn point() {
    let mut been = false;
    std::future::poll_fn(move |_| if std::mem::replace(&mut been, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

/// Something that goes on beside others.
pub type Task<'t> = Pin<Box<dyn Future<Output = ()> + 't>>;

/// Lets tasks go on, one step at a time, until all are done. Some are favoured over others, for a
/// while: who is left behind is met by what the others have done. Before each step `between` is
/// told, which may let time pass.
pub fn run(hub: &Hub, tasks: Vec<Task<'_>>, mut between: impl FnMut()) {
    const FAVOURS: [u32; 5] = [1, 1, 4, 16, 64];
    let mut context = Context::from_waker(Waker::noop());
    let mut tasks: Vec<(usize, u32, Task<'_>)> =
        tasks.into_iter().enumerate().map(|(number, task)| (number, 1, task)).collect();
    let mut steps = 0;
    while !tasks.is_empty() && !hub.is_wrong() {
        if steps % 64 == 0 {
            tasks.iter_mut().for_each(|(_, favour, _)| *favour = FAVOURS[hub.below(FAVOURS.len())]);
        }
        steps += 1;
        if steps == STEPS_UNTIL_CALM {
            hub.calm();
        }
        if steps > STEPS_MAX {
            hub.wrong(|| format!("it does not end: {STEPS_MAX} steps, and {} tasks still run", tasks.len()));
        }
        between();
        let sum: u32 = tasks.iter().map(|(_, favour, _)| favour).sum();
        let mut drawn = hub.below(sum as usize) as u32;
        let chosen = tasks.iter().position(|(_, favour, _)| match drawn.checked_sub(*favour) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        });
        let Some(chosen) = chosen else { continue };
        let (number, _, task) = &mut tasks[chosen];
        hub.trace(*number);
        if task.as_mut().poll(&mut context).is_ready() {
            drop(tasks.swap_remove(chosen));
        }
    }
}
