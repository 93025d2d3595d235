//! Readers beside the senders: views, views that have not changed, and pages of the list, at a fixed rate.

use super::connection::Connection;
use super::key;
use super::schedule::{Schedule, Times, wait_until};
use super::shared::Shared;
use crate::rng::Rng;

/// Of so many reads, one is a page, and every third other one asks whether a view has changed.
const PAGE_EVERY: u64 = 30;
const KNOWN_EVERY: u64 = 3;
const PAGE_VIEWS: u64 = 100;
/// Views that a reader remembers.
const KNOWN_MAX: usize = 1_000;

/// What readers saw, from the time a read was due.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) views: Times,
    pub(super) known: Times,
    pub(super) pages: Times,
    pub(super) not_modified: u64,
}

impl Reads {
    pub(super) fn append(&mut self, other: Self) {
        self.views.append(other.views);
        self.known.append(other.known);
        self.pages.append(other.pages);
        self.not_modified += other.not_modified;
    }
}

/// Reads until it is stopped.
pub(super) fn read(shared: &Shared, schedule: &Schedule, seed: u64) -> Reads {
    let mut reader = Reader { shared, chance: Rng::new(seed, READER_STREAM), connection: None, known: Vec::new() };
    let mut reads = Reads::default();
    while let Some((number, due)) = schedule.next() {
        wait_until(due);
        if shared.is_stopped() {
            break;
        }
        let times = if number % PAGE_EVERY == 0 {
            reader.page();
            &mut reads.pages
        } else if number % KNOWN_EVERY == 0 && !reader.known.is_empty() {
            reads.not_modified += u64::from(reader.known_view());
            &mut reads.known
        } else {
            reader.view();
            &mut reads.views
        };
        if shared.is_measuring() {
            times.add(due.elapsed());
        }
    }
    reads
}

const READER_STREAM: u64 = 4;

struct Reader<'s> {
    shared: &'s Shared,
    chance: Rng,
    connection: Option<Connection>,
    /// Keys and the tags of their views.
    known: Vec<(u64, String)>,
}

impl Reader<'_> {
    fn view(&mut self) {
        let number = self.chance.below(self.shared.ledger.keys());
        let there = self.shared.ledger.has(number).unwrap_or(false);
        let tag = self.shared.with(&mut self.connection, "reading a view", |connection| {
            let answer = connection.get(&target(number), "")?;
            if answer.status == 404 && !there {
                return Ok(None);
            }
            let tag = answer.header("etag").map(str::to_owned);
            anyhow::ensure!(answer.expect(200)?.starts_with(b"{\"id\":"), "no view");
            Ok(tag)
        });
        if let Some(tag) = tag.flatten() {
            let place = self.chance.below(KNOWN_MAX as u64) as usize;
            match self.known.get_mut(place) {
                Some(known) => *known = (number, tag),
                None => self.known.push((number, tag)),
            }
        }
    }

    /// Asks for a view that it has; whether it is still the same.
    fn known_view(&mut self) -> bool {
        let (number, tag) = self.chance.pick(&self.known).clone();
        let same = self.shared.with(&mut self.connection, "reading a known view", |connection| {
            let answer = connection.get(&target(number), &format!("if-none-match: {tag}\r\n"))?;
            let same = answer.status == 304;
            answer.expect(if same { 304 } else { 200 })?;
            Ok(same)
        });
        same.unwrap_or(false)
    }

    fn page(&mut self) {
        let after = key(self.chance.below(self.shared.ledger.keys()));
        let target = format!("/v1/views/user-activity?limit={PAGE_VIEWS}&after={after}");
        self.shared.with(&mut self.connection, "reading a page", |connection| {
            let body = connection.get(&target, "")?.expect(200)?;
            anyhow::ensure!(body.starts_with(b"{\"views\":["), "no page");
            Ok(())
        });
    }
}

fn target(number: u64) -> String {
    format!("/v1/views/user-activity/{}", key(number))
}
