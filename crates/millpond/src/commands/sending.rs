//! Files of events, sent to a server: read on one thread, sent from another, answered in order.

mod fill;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use futures_util::{TryStreamExt, stream};
use indicatif::ProgressBar;
use millpond_client::wire::Taken;
use millpond_client::{BATCH_BYTES, Batch, Batcher, IN_FLIGHT, To};
use tokio::sync::mpsc;

use self::fill::fill;
use super::files::{Input, progress};
use super::place::Server;
use crate::input::Reader;
use crate::output::counted;

/// What is sent, and to whom.
pub(super) struct Sending<'s> {
    pub(super) server: &'s Server,
    pub(super) to: To,
    pub(super) batch: usize,
    /// Whether events without id or timestamp get one.
    pub(super) fill: bool,
}

/// What became of it.
pub(super) struct Sent {
    pub(super) taken: Taken,
    /// Pieces of the files that are no events, and were told on standard error.
    pub(super) broken: u64,
}

impl Sending<'_> {
    /// Sends everything; stops at the first batch that the server does not take.
    pub(super) fn run(self, inputs: Vec<Input>) -> Result<Sent> {
        let bar = progress(&inputs);
        let (batches, mut received) = mpsc::channel(IN_FLIGHT);
        let (batch, fill) = (self.batch, self.fill);
        let reading =
            Reading { batches, batcher: Batcher::new(batch, BATCH_BYTES), items: batch, fill, bar: bar.clone() };
        let reading = std::thread::Builder::new().name("reading".into()).spawn(move || reading.run(inputs))?;
        let batches = stream::poll_fn(move |context| received.poll_recv(context));
        let mut taken = Taken::default();
        let sent = self.server.wait(async {
            let mut answers = std::pin::pin!(self.server.client.put_batches(&self.to, batches, IN_FLIGHT));
            while let Some((_, answer)) = answers.try_next().await? {
                taken += &answer;
            }
            Ok::<(), millpond_client::Error>(())
        });
        bar.finish_and_clear();
        if let Err(error) = sent {
            // The reader may wait for more input, which nobody wants any more; it ends with the process.
            let taken = counted(taken.received, "event was", "events were");
            let again = match self.fill {
                true => "which of the others were is not known, since a repeat would get new ids",
                false => "put the same again later: what was taken is a duplicate then",
            };
            return Err(error.context(format!("{taken} taken for certain, and no more ({again})")));
        }
        let broken = reading.join().map_err(|_| anyhow::anyhow!("the thread that reads the files panicked"))??;
        Ok(Sent { taken, broken })
    }
}

/// The thread that reads.
struct Reading {
    batches: mpsc::Sender<Batch>,
    batcher: Batcher,
    items: usize,
    fill: bool,
    bar: ProgressBar,
}

impl Reading {
    /// How many pieces were no events.
    fn run(mut self, inputs: Vec<Input>) -> Result<u64> {
        let mut broken = 0;
        for input in inputs {
            broken += self.input(input)?;
        }
        if let Some(batch) = self.batcher.take() {
            self.hand_over(batch);
        }
        Ok(broken)
    }

    fn input(&mut self, input: Input) -> Result<u64> {
        let reading = format!("cannot read {}", input.name);
        let mut reader = Reader::new(input.source);
        let (mut read, mut broken) = (0, 0);
        loop {
            let batch = reader.next_ready(self.items).with_context(|| reading.clone())?;
            if batch.is_empty() {
                return Ok(broken);
            }
            let mut complete = Vec::new();
            for item in batch.iter() {
                match item.flaw {
                    Some(flaw) => {
                        broken += 1;
                        let place = format!("{}, line {}, byte {}", input.name, item.line, item.offset);
                        self.bar.suspend(|| eprintln!("millpond: {place}: {flaw}; it was not sent"));
                    }
                    None if self.fill => complete.extend(self.batcher.add(&fill(item.bytes, now_ms()))),
                    None => complete.extend(self.batcher.add(item.bytes)),
                }
            }
            self.bar.inc(batch.end_offset() - read);
            read = batch.end_offset();
            // What has come is sent at once: more may be long in coming.
            complete.extend(self.batcher.take());
            complete.into_iter().for_each(|batch| self.hand_over(batch));
        }
    }

    /// Waits while enough is under way. If nobody wants it any more, sending has failed and says so.
    fn hand_over(&self, batch: Batch) {
        let _ = self.batches.blocking_send(batch);
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
