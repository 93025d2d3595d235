//! Upkeep in the background: snapshots and trims, in small steps that leave the machine to others.

use std::sync::{Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use millpond_store::{Error, Step, Store};

use super::Clock;

/// How long to wait for work when there is none.
const IDLE: Duration = Duration::from_millis(250);
/// After a step that failed.
const FAILED: Duration = Duration::from_secs(1);
/// How often such failures are told.
const TELL_EVERY: Duration = Duration::from_secs(600);
/// Keys of one step: they share a commit, and hold others up for about a millisecond.
const STEP_KEYS: usize = 64;
/// How long to leave alone those who read old tables, before they are waited for again.
const COMPACT_AGAIN: Duration = Duration::from_secs(60);
/// Keys looked at in one step for old tails.
const SWEEP_KEYS: usize = 512;

/// How upkeep is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upkeep {
    /// Whether there are snapshots and trims; erasures are always ended.
    pub(crate) snapshots: bool,
    /// Of a core's time, at most so many hundredths.
    pub(crate) share_percent: u32,
    /// A tail that could have been closed for so long is closed, however short it is.
    pub(crate) snapshot_age: Duration,
    /// How often all keys are looked at for such tails.
    pub(crate) sweep_every: Duration,
    /// Whether the rows that snapshots cover are trimmed.
    pub(crate) trim: bool,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            snapshots: true,
            share_percent: 50,
            snapshot_age: Duration::from_secs(24 * 3600),
            sweep_every: Duration::from_secs(3600),
            trim: true,
        }
    }
}

/// Tells upkeep to end.
#[derive(Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Whether to end, after waiting for that long.
    pub(super) fn wait(&self, span: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(stopped, span, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Works until it is told to end, or the store stops. What fails of one key ends nothing.
pub(super) fn run(name: &str, store: &RwLock<Option<Store>>, stop: &Stop, clock: Clock, upkeep: Upkeep) {
    let share = upkeep.share_percent.clamp(1, 100);
    let mut pause = Duration::ZERO;
    let mut sweep = Sweep { after: None, next: Instant::now(), compact: Instant::now() };
    let mut told: Option<Instant> = None;
    while !stop.wait(pause) {
        let store = store.read().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = store.as_ref() else { return };
        compact_owed(name, store, &mut sweep);
        let began = cpu_time();
        let worked = step(store, clock(), upkeep, &mut sweep);
        let took = cpu_time().saturating_sub(began);
        let stopped = store.stopped().is_some();
        if let Err(error) = &worked {
            match stopped {
                true => tracing::error!(join = name, %error, "snapshots and trims have stopped"),
                false if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) => {
                    tracing::error!(join = name, %error, "a snapshot or trim failed; others go on");
                    told = Some(Instant::now());
                }
                false => {}
            }
        }
        let Some(next) = pause_after(&worked, stopped, took, share) else { return };
        pause = next;
    }
}

/// How long to wait after a step; `None` if there is no more use in it.
fn pause_after(worked: &Result<bool, Error>, stopped: bool, took: Duration, share: u32) -> Option<Duration> {
    match worked {
        _ if stopped => None,
        // The rest of the time belongs to others.
        Ok(true) => Some(took * (100 - share) / share),
        Ok(false) => Some(IDLE),
        Err(_) => Some(FAILED),
    }
}

/// What this thread has taken of the processors: waiting for the disk takes nothing from others.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Where looking for old tails has come to.
struct Sweep {
    after: Option<String>,
    next: Instant,
    /// When to see again whether tables are to be written anew.
    compact: Instant,
}

/// Ends what a crash or a reader has left of an erasure. It is no part of upkeep's share: who asked
/// for the erasure waits for it.
fn compact_owed(name: &str, store: &Store, sweep: &mut Sweep) {
    if Instant::now() < sweep.compact || !store.owes_compaction() {
        return;
    }
    match store.compact_owed() {
        Ok(true) => tracing::info!(join = name, "the bytes of an erasure are gone"),
        Ok(false) => tracing::warn!(join = name, "bytes of an erasure stay: somebody reads the old tables"),
        Err(error) => tracing::error!(join = name, %error, "bytes of an erasure stay"),
    }
    sweep.compact = Instant::now() + COMPACT_AGAIN;
}

/// One step; whether there was something to do.
fn step(store: &Store, now: u64, upkeep: Upkeep, sweep: &mut Sweep) -> Result<bool, Error> {
    if !upkeep.snapshots {
        return Ok(false);
    }
    let Step { keys, .. } = store.upkeep(now, STEP_KEYS, upkeep.trim)?;
    if keys > 0 {
        return Ok(true);
    }
    if Instant::now() < sweep.next {
        return Ok(false);
    }
    let after = sweep.after.take();
    let looked = store.ask_for_old(now, upkeep.snapshot_age.as_millis() as u64, after.as_deref(), SWEEP_KEYS);
    sweep.after = looked.as_ref().ok().cloned().flatten();
    if sweep.after.is_none() {
        // After a failure, too: at the same key it would only fail again.
        sweep.next = Instant::now() + upkeep.sweep_every;
    }
    looked.map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One key that could not be read ended the snapshots and trims of all others.
    #[test]
    fn a_failure_of_one_key_ends_nothing_and_a_stopped_store_everything() {
        let took = Duration::from_millis(10);
        let failed = || Err(Error::Unreadable { what: "a row".into() });
        assert_eq!(pause_after(&Ok(true), false, took, 25), Some(took * 3));
        assert_eq!(pause_after(&Ok(false), false, took, 25), Some(IDLE));
        assert_eq!(pause_after(&failed(), false, took, 25), Some(FAILED));
        assert_eq!(pause_after(&failed(), true, took, 25), None);
    }
}
