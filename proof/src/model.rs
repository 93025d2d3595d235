//! The protocol of the home without transactions: every schedule in a scope. The search goes through worlds that
//! stand for many ([`World::canonical`]), and keeps a fingerprint of each and no more, so that a thousand million of
//! them fit; what it finds wrong is shown by a search that keeps the ways.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{available_parallelism, scope, yield_now};

use anyhow::{Error, Result, ensure};
use millpond_testkit::protocol::{Protocol, World};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use xxhash_rust::xxh3::Xxh3Default;

use crate::report::{Failure, Report};

/// Steps of a search that keeps the ways: memory is not endless.
const STEPS_MAX: usize = 400_000_000;
/// States that a worker keeps for itself before it shares some.
const OWN_MAX: usize = 4_096;
/// Parts of the set of what was seen, each with a lock of its own.
const PARTS: usize = 256;

/// Fingerprints are spread already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are numbers")
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

/// What was seen, by fingerprint.
struct Seen {
    parts: Vec<Mutex<HashSet<u64, BuildHasherDefault<AsItIs>>>>,
    count: AtomicU64,
}

impl Seen {
    fn new() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect(), count: AtomicU64::new(0) }
    }

    /// Whether a state is new: one that stands for others.
    fn is_new(&self, world: &World) -> bool {
        let fingerprint = BuildHasherDefault::<Xxh3Default>::default().hash_one(world);
        // By bits that the set of a part goes by neither.
        let part = &self.parts[(fingerprint >> 40) as usize % PARTS];
        let is_new = part.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
        self.count.fetch_add(u64::from(is_new), Ordering::Relaxed);
        is_new
    }
}

/// States that are to be looked at, by whoever has time.
struct Search<'p> {
    protocol: &'p Protocol,
    seen: Seen,
    shared: Mutex<Vec<World>>,
    idle: AtomicUsize,
    steps: AtomicU64,
    wrong: Mutex<Option<&'static str>>,
    is_wrong: AtomicBool,
    /// By property: whether what must be somewhere was met.
    reached: Vec<AtomicBool>,
}

impl Search<'_> {
    fn work(&self, workers: usize) {
        let properties = self.protocol.properties();
        let (mut own, mut actions, mut is_idle): (Vec<World>, Vec<_>, bool) = (Vec::new(), Vec::new(), false);
        while !self.is_wrong.load(Ordering::Relaxed) {
            let Some(world) = own.pop().or_else(|| {
                let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                let left = shared.len().saturating_sub(OWN_MAX / 2);
                own = shared.split_off(left);
                own.pop()
            }) else {
                if !is_idle {
                    self.idle.fetch_add(1, Ordering::SeqCst);
                    is_idle = true;
                }
                if self.idle.load(Ordering::SeqCst) == workers {
                    return;
                }
                yield_now();
                continue;
            };
            if is_idle {
                self.idle.fetch_sub(1, Ordering::SeqCst);
                is_idle = false;
            }
            for (property, reached) in properties.iter().zip(&self.reached) {
                let holds = (property.condition)(self.protocol, &world);
                match property.expectation {
                    Expectation::Sometimes if holds => reached.store(true, Ordering::Relaxed),
                    Expectation::Always if !holds => {
                        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(property.name);
                        self.is_wrong.store(true, Ordering::Relaxed);
                    }
                    _ => {}
                }
            }
            actions.clear();
            self.protocol.actions(&world, &mut actions);
            for action in actions.drain(..) {
                let Some(next) = self.protocol.next_state(&world, action) else { continue };
                // The search goes on from it, too, and not only compares it: where the others may come, it may come.
                let next = next.canonical();
                self.steps.fetch_add(1, Ordering::Relaxed);
                if self.seen.is_new(&next) {
                    own.push(next);
                }
            }
            if own.len() > OWN_MAX {
                let share = own.drain(..OWN_MAX / 2);
                self.shared.lock().unwrap_or_else(PoisonError::into_inner).extend(share);
            }
        }
    }
}

impl<'p> Search<'p> {
    /// Searches all of a protocol, or until something is wrong.
    fn of(protocol: &'p Protocol) -> Self {
        let workers = available_parallelism().map_or(1, usize::from);
        let search = Self {
            protocol,
            seen: Seen::new(),
            shared: Mutex::new(protocol.init_states()),
            idle: AtomicUsize::new(0),
            steps: AtomicU64::new(0),
            wrong: Mutex::new(None),
            is_wrong: AtomicBool::new(false),
            reached: protocol.properties().iter().map(|_| AtomicBool::new(false)).collect(),
        };
        protocol.init_states().iter().for_each(|world| assert!(search.seen.is_new(world)));
        scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(|| search.work(workers)))));
        search
    }

    fn wrong(&self) -> Option<&'static str> {
        *self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Searches a scope to its end.
///
/// # Errors
/// If it is no scope, or shows too little.
pub fn search(text: &str) -> Result<Report> {
    let protocol: Protocol = text.parse().map_err(Error::msg)?;
    let mut report = Report::new("model", "states");
    let search = Search::of(&protocol);
    report.runs = search.seen.count.load(Ordering::Relaxed);
    report.reached("steps of the model", search.steps.load(Ordering::Relaxed));
    if let Some(property) = search.wrong() {
        eprintln!("not so: {property}; looking for the shortest way to it");
        let replay = format!("millpond-proof model --scope {text}");
        report.failures.push(Failure { replay, what: format!("not so: {property}{}", way(protocol)) });
        return Ok(report.timed());
    }
    for (property, reached) in protocol.properties().iter().zip(search.reached) {
        let is_sometimes = matches!(property.expectation, Expectation::Sometimes);
        ensure!(!is_sometimes || reached.into_inner(), "this is never met: {}", property.name);
    }
    for rule in protocol.rules() {
        ensure!(is_needed(protocol.without(rule)), "nothing in this scope notices that {rule:?} is not kept");
        report.reached("a rule of the model is not kept, and that is found", 1);
    }
    Ok(report.timed())
}

/// The shortest way to something that is wrong.
fn way(protocol: Protocol) -> String {
    let search = protocol.checker().target_state_count(STEPS_MAX).finish_when(HasDiscoveries::AnyFailures);
    let found = search.spawn_bfs().join().discoveries().into_iter().find(|(name, _)| !name.starts_with("all is"));
    match found {
        Some((name, path)) => format!("\nthe shortest way to what is wrong, {name}:\n{path}"),
        None => format!("\nthe way there has more than {STEPS_MAX} steps beside it"),
    }
}

/// Whether something breaks in a protocol without one of its rules.
fn is_needed(broken: Protocol) -> bool {
    if broken.has_canonical() {
        return Search::of(&broken).wrong().is_some();
    }
    let threads = available_parallelism().map_or(1, usize::from);
    let checker = broken.checker().threads(threads).target_state_count(STEPS_MAX);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    checker.discoveries().into_keys().any(|name| !name.starts_with("all is"))
}
