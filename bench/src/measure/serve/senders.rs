//! Batches of events: as fast as they are taken, or at a fixed rate.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::schedule::{Schedule, Times, wait_until};
use super::shared::Shared;
use super::taken::{NDJSON, Taken};
use super::traffic::{Batch, Traffic};

/// How often a batch is sent again: anything may be.
const TRIES_MAX: usize = 5;

/// What the senders saw.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// From the time a batch was due to its acknowledgement.
    pub(super) acknowledged: Times,
    pub(super) taken: Taken,
}

/// One of them: its events go on where they ended.
pub(super) struct Sender {
    traffic: Traffic,
    batch: Batch,
    batch_events: usize,
    connection: Option<Connection>,
}

impl Sender {
    pub(super) fn new(number: usize, batch_events: usize, keys: u64) -> Self {
        // 1 is the published workload's.
        let traffic = Traffic::new(number as u64 + 2, keys);
        Self { traffic, batch: Batch::default(), batch_events, connection: None }
    }

    /// A batch follows the acknowledgement of the one before. Counts what was taken in the last `counted`.
    fn closed_loop(&mut self, shared: &Shared, lasts: Duration, counted: Duration) -> anyhow::Result<Sent> {
        let started = Instant::now();
        let mut sent = Sent::default();
        while started.elapsed() < lasts {
            self.traffic.next(&mut self.batch, self.batch_events)?;
            let taken = self.send(shared)?;
            if started.elapsed() > lasts - counted {
                sent.taken.add(taken);
            }
        }
        Ok(sent)
    }

    /// Batches when they are due.
    fn open_loop(&mut self, shared: &Shared, schedule: &Schedule) -> anyhow::Result<Sent> {
        let mut sent = Sent::default();
        while let Some((_, due)) = schedule.next() {
            // Made while there is time, if there is.
            self.traffic.next(&mut self.batch, self.batch_events)?;
            wait_until(due);
            let measured = shared.is_measuring();
            let taken = self.send(shared)?;
            if measured {
                sent.acknowledged.add(due.elapsed());
                sent.taken.add(taken);
            }
        }
        Ok(sent)
    }

    fn send(&mut self, shared: &Shared) -> anyhow::Result<Taken> {
        let (body, events) = (self.batch.text.as_bytes(), self.batch.events());
        for _ in 0..TRIES_MAX {
            let taken = shared.with(&mut self.connection, "sending a batch", |connection| {
                Taken::of(connection, NDJSON, body, events)
            });
            if let Some(taken) = taken {
                self.batch.enter(&shared.ledger)?;
                return Ok(taken);
            }
        }
        anyhow::bail!("a batch was never acknowledged: {:?}", shared.failures_shown())
    }
}

/// How the senders send.
#[derive(Clone, Copy)]
pub(super) enum Loop<'s> {
    Closed { lasts: Duration, counted: Duration },
    Open(&'s Schedule),
}

/// All of them at once.
pub(super) fn send(senders: &mut [Sender], shared: &Shared, how: Loop<'_>) -> anyhow::Result<Sent> {
    std::thread::scope(|scope| {
        let sending = senders.iter_mut().map(|sender| {
            scope.spawn(move || match how {
                Loop::Closed { lasts, counted } => sender.closed_loop(shared, lasts, counted),
                Loop::Open(schedule) => sender.open_loop(shared, schedule),
            })
        });
        let sending: Vec<_> = sending.collect();
        let mut all = Sent::default();
        for sender in sending {
            let sent = sender.join().expect("a sender does not panic")?;
            all.acknowledged.append(sent.acknowledged);
            all.taken.add(sent.taken);
        }
        Ok(all)
    })
}
