//! The protocol of the home without transactions, as a model whose every schedule is tried: one key,
//! a few events, consumers, triggers, snapshotters, a trimmer and somebody who erases the key, each of
//! which may stop between any two calls; deliveries that repeat, answers that are lost, reads of a view
//! that are old, pages that are read one by one, definitions that change and change back while functions
//! of the old one still run, and time.
//!
//! The model says what the protocol is, not how the code does it: sets and numbers stand for events
//! and views. [`Rule`] names what the protocol rests on; a model without one of them must be found
//! wrong.

use std::str::FromStr;

use stateright::{Model, Property, Representative};

/// Events of the key; event `n` has the timestamp `n`, and is the only one there.
pub const EVENTS: usize = 3;
/// How long after its timestamp an event is joined.
const LATENESS: u8 = 3;
/// How long a write may be under way.
const MARGIN: u8 = 1;
/// Triggers, and snapshotters, that there can be.
const WORKERS_MAX: usize = 2;
/// When even the youngest event is closed.
const END: u8 = LATENESS + EVENTS as u8;

/// What the protocol rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// What is older than `lateness` is late.
    Refusal,
    /// The consumer refuses what is younger by the margin than what a snapshot may close.
    Margin,
    /// A view is written over the version that was read.
    Version,
    /// What is not above `folded_to` is folded with the whole tail.
    Refold,
    /// The view is read before the rows.
    ViewBeforeRows,
    /// A snapshot writes the state anew, and does not carry it over.
    Rewrite,
    /// Only what the snapshot that is stored covers is deleted.
    TrimThrough,
    /// What a trigger was given counts as done after its write, not before.
    Acknowledge,
    /// A changed definition does not fold where rows are deleted that it would need.
    Complete,
    /// Who cannot fold a row says in the view that it is behind.
    Behind,
    /// An erasure deletes what it covers, and not what came since.
    EraseBelow,
    /// What was erased stays out of a changed definition's views, too.
    Erased,
    /// No other snapshot lies over that of an erasure before the rows are gone that it keeps out.
    ErasedFirst,
}

impl Rule {
    /// Those that are needed where the definition stays and nothing is erased.
    const ALWAYS: [Self; 8] = [
        Self::Refusal,
        Self::Margin,
        Self::Version,
        Self::Refold,
        Self::ViewBeforeRows,
        Self::Rewrite,
        Self::TrimThrough,
        Self::Acknowledge,
    ];
}

/// How much of everything there is.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// How often each event is delivered to a consumer.
    pub deliveries: [u8; EVENTS],
    /// Triggers at the same time: one or two.
    pub triggers: usize,
    /// Snapshotters at the same time: one or two.
    pub snapshotters: usize,
    /// Answers that are lost after a write was done, in all.
    pub losses: u8,
    /// Deployments of another definition: the second one is of the first definition again.
    pub redefinitions: u8,
    /// How often the key is erased.
    pub erasures: u8,
    /// A rule that is not kept.
    pub without: Option<Rule>,
}

/// `112,2,1,1`: deliveries of each of three events, triggers, snapshotters, lost answers; and, if there are any,
/// redefinitions and erasures: `110,1,1,0,2,1`.
impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digit = |digit: char| digit.to_digit(10).and_then(|digit| u8::try_from(digit).ok());
        let mut digits: Vec<u8> = text.chars().filter_map(digit).collect();
        if digits.len() == EVENTS + 3 {
            digits.extend([0, 0]);
        }
        let [a, b, c, triggers @ 1..=2, snapshotters @ 1..=2, losses, redefinitions, erasures] = digits[..] else {
            return Err(format!(
                "`{text}` is no scope: it is such as 112,2,1,1 or 110,1,1,0,2,1: deliveries of each of three events, \
                 triggers (1 or 2), snapshotters (1 or 2), answers that are lost; redefinitions, erasures"
            ));
        };
        let (triggers, snapshotters) = (triggers.into(), snapshotters.into());
        let deliveries = [a, b, c];
        Ok(Self { deliveries, triggers, snapshotters, losses, redefinitions, erasures, without: None })
    }
}

/// How often each event is in something.
type Counts = [u8; EVENTS];

/// A view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View {
    version: u8,
    state: Counts,
    /// One more than the highest that was folded.
    folded_to: u8,
    /// What is below it is closed.
    through: u8,
    snapshot: Counts,
    trimmed_to: u8,
    /// Whether rows may be stored that it has not folded.
    behind: bool,
    /// The deployment that wrote it.
    generation: u8,
}

impl View {
    /// Whether a deployment is of the definition that made it: the second one is of the first definition again.
    fn is_of(&self, generation: u8) -> bool {
        self.generation % 2 == generation % 2
    }

    /// Whether its snapshot is that of an erasure: no other is of nothing.
    fn is_erased(&self) -> bool {
        self.through > 0 && self.snapshot == [0; EVENTS]
    }
}

/// A trigger between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Trigger {
    Idle,
    /// Reads the tail, an event a page.
    Reads {
        by: u8,
        given: u8,
        base: Option<View>,
        at: u8,
        tail: Counts,
    },
    Writes {
        given: u8,
        base: Option<View>,
        next: View,
    },
    /// Cannot fold what it was given, and says so.
    Refuses {
        given: u8,
    },
}

/// A snapshotter between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Snapshotter {
    Idle,
    /// Reads what it may close, and then the rest, an event a page.
    Reads {
        by: u8,
        base: Option<View>,
        boundary: u8,
        at: u8,
        rows: Counts,
    },
    Writes {
        base: Option<View>,
        next: View,
    },
}

/// The trimmer between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Trimmer {
    Idle,
    Marks { base: View, next: View },
    Deletes { through: u8, at: u8 },
}

/// Who erases the key, between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Eraser {
    Idle,
    Writes { base: Option<View>, next: View },
    Deletes { through: u8, at: u8 },
}

/// All there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    now: u8,
    deliveries: [u8; EVENTS],
    /// Since when a consumer writes an event.
    under_way: [Option<u8>; EVENTS],
    rows: [bool; EVENTS],
    accepted: [bool; EVENTS],
    late: [bool; EVENTS],
    /// Change records that are not done.
    changes: Counts,
    view: Option<View>,
    /// The view before its last write.
    before: Option<View>,
    triggers: [Trigger; WORKERS_MAX],
    snapshotters: [Snapshotter; WORKERS_MAX],
    trimmer: Trimmer,
    eraser: Eraser,
    losses: u8,
    /// The deployment that is the newest.
    generation: u8,
    erasures: u8,
    /// What is below it was erased.
    erased_to: u8,
    fault: Option<&'static str>,
}

/// Workers of a kind are alike: worlds that differ only in which of them does what are one.
impl Representative for World {
    fn representative(&self) -> Self {
        let mut sorted = *self;
        // Those that do nothing come last: of one worker, the second place is never used.
        sorted.triggers.sort_unstable_by(|left, right| right.cmp(left));
        sorted.snapshotters.sort_unstable_by(|left, right| right.cmp(left));
        sorted
    }
}

impl World {
    /// The world that stands for this one in a search.
    ///
    /// Whoever has read what is no longer the newest view cannot write over it: all that he can still do is to stop, so
    /// he is taken to have stopped. Nobody who is left holds an old view; so it does not matter what the one before the
    /// newest was, and how often there was a newer one. Whatever is reached from this world is reached from that one,
    /// as what stands for it; and that one is reached from this one, by those who stop.
    ///
    /// It rests on [`Rule::Version`] and [`Rule::ViewBeforeRows`]: see [`Protocol::has_canonical`].
    #[must_use]
    pub fn canonical(&self) -> Self {
        let newest = |base: &Option<View>| base.map(|view| view.version) == self.view.map(|view| view.version);
        let renumbered = |view: View, version: u8| View { version, ..view };
        let based = |base: Option<View>| base.map(|view| renumbered(view, 1));
        let triggers = self.triggers.map(|trigger| match trigger {
            Trigger::Reads { by, given, base, at, tail } if newest(&base) => {
                Trigger::Reads { by, given, base: based(base), at, tail }
            }
            Trigger::Writes { given, base, next } if newest(&base) => {
                Trigger::Writes { given, base: based(base), next: renumbered(next, 2) }
            }
            Trigger::Refuses { given } => Trigger::Refuses { given },
            _ => Trigger::Idle,
        });
        let snapshotters = self.snapshotters.map(|snapshotter| match snapshotter {
            Snapshotter::Reads { by, base, boundary, at, rows } if newest(&base) => {
                Snapshotter::Reads { by, base: based(base), boundary, at, rows }
            }
            Snapshotter::Writes { base, next } if newest(&base) => {
                Snapshotter::Writes { base: based(base), next: renumbered(next, 2) }
            }
            _ => Snapshotter::Idle,
        });
        let trimmer = match self.trimmer {
            Trimmer::Marks { base, next } if newest(&Some(base)) => {
                Trimmer::Marks { base: renumbered(base, 1), next: renumbered(next, 2) }
            }
            Trimmer::Marks { .. } => Trimmer::Idle,
            other => other,
        };
        let eraser = match self.eraser {
            Eraser::Writes { base, next } if newest(&base) => {
                Eraser::Writes { base: based(base), next: renumbered(next, 2) }
            }
            Eraser::Writes { .. } => Eraser::Idle,
            other => other,
        };
        Self { view: based(self.view), before: None, triggers, snapshotters, trimmer, eraser, ..*self }.representative()
    }
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Time passes.
    Tick,
    /// A consumer looks at the clock and begins to write an event, or keeps it as late.
    Consume(usize),
    /// Its write is done.
    Insert(usize),
    /// It stops; the event is delivered again.
    ConsumerStops(usize),
    /// A trigger reads the view for some rows, given as bits; perhaps an old one.
    Look {
        /// Which trigger.
        trigger: usize,
        /// The rows.
        given: u8,
        /// Whether it is the one before the newest.
        is_old: bool,
        /// The deployment whose function it is.
        by: u8,
    },
    /// A trigger reads a page.
    Page(usize),
    /// A trigger writes; perhaps the answer is lost.
    Write {
        /// Which trigger.
        trigger: usize,
        /// Whether it does not learn of it.
        is_lost: bool,
    },
    /// A trigger says in the view that it is behind.
    SayBehind(usize),
    /// A trigger stops; its rows come again.
    TriggerStops(usize),
    /// A snapshotter reads the view.
    Begin {
        /// Which snapshotter.
        snapshotter: usize,
        /// The deployment whose function it is.
        by: u8,
    },
    /// A snapshotter reads a page.
    SnapshotPage(usize),
    /// A snapshotter writes.
    Close(usize),
    /// A snapshotter stops.
    SnapshotterStops(usize),
    /// The trimmer, a function of a deployment, reads the view.
    TrimLook(u8),
    /// The trimmer writes how far it will delete.
    Mark,
    /// The trimmer deletes a row.
    Delete,
    /// The trimmer stops.
    TrimmerStops,
    /// Another definition is deployed.
    Deploy,
    /// Who erases reads the view.
    EraseLook,
    /// Who erases writes a snapshot of nothing.
    Erase,
    /// Who erases deletes a row.
    EraseRow,
    /// Who erases stops.
    EraserStops,
}

/// What a trigger does with the view it has read.
enum Decided {
    /// The function is of a deployment that the view's writer was newer than: its rows come again.
    Superseded,
    /// The snapshot holds all it was given.
    Done,
    Next(Trigger),
}

fn has(bits: u8, event: usize) -> bool {
    bits & (1 << event) != 0
}

fn plus(a: Counts, b: Counts) -> Counts {
    std::array::from_fn(|event| (a[event] + b[event]).min(2)) // twice is as wrong as thrice
}

impl Protocol {
    /// The same, where a rule is not kept.
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { without: Some(rule), ..self }
    }

    /// Whether [`World::canonical`] may stand for a world: without these rules, an old view can be written over.
    #[must_use]
    pub fn has_canonical(&self) -> bool {
        self.keeps(Rule::Version) && self.keeps(Rule::ViewBeforeRows)
    }

    /// What the protocol rests on, in this scope.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules = Rule::ALWAYS.to_vec();
        if self.redefinitions > 0 {
            rules.extend([Rule::Complete, Rule::Behind]);
        }
        if self.erasures > 0 {
            rules.push(Rule::EraseBelow);
        }
        if self.redefinitions > 0 && self.erasures > 0 {
            rules.extend([Rule::Erased, Rule::ErasedFirst]);
        }
        rules
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether a fold by a deployment begins with the view's snapshot, and not with nothing.
    fn is_base(&self, view: &View, by: u8) -> bool {
        view.is_of(by) || view.is_erased() && self.keeps(Rule::Erased)
    }

    /// What a fold by a deployment begins with: a view's snapshot, and where it ends.
    fn base(&self, view: Option<View>, by: u8) -> (Counts, u8) {
        view.filter(|view| self.is_base(view, by)).map_or(([0; EVENTS], 0), |view| (view.snapshot, view.through))
    }

    /// Whether rows are deleted that a deployment would need.
    fn is_incomplete(&self, view: &View, by: u8) -> bool {
        !view.is_of(by) && view.trimmed_to > 0 && self.keeps(Rule::Complete)
    }

    /// Whether the consumer takes an event now.
    fn is_accepted(&self, event: usize, now: u8) -> bool {
        let margin = if self.keeps(Rule::Margin) { MARGIN } else { 0 };
        !self.keeps(Rule::Refusal) || event as u8 + LATENESS >= now + margin
    }

    /// Whether all rows given are above all that the view has folded.
    fn is_next(&self, view: &View, given: u8) -> bool {
        (0..EVENTS).all(|event| !has(given, event) || event as u8 >= view.folded_to)
    }

    fn fast(&self, view: View, given: u8, by: u8) -> View {
        let rows: Counts = std::array::from_fn(|event| u8::from(has(given, event)));
        let highest = (0..EVENTS).rev().find(|event| has(given, *event)).map_or(0, |event| event as u8 + 1);
        View {
            version: view.version + 1,
            state: plus(view.state, rows),
            folded_to: view.folded_to.max(highest),
            generation: by,
            ..view
        }
    }

    /// What a trigger does with the view it has read.
    fn decided(&self, base: Option<View>, given: u8, by: u8) -> Decided {
        let reads = |at| Decided::Next(Trigger::Reads { by, given, base, at, tail: [0; EVENTS] });
        let Some(view) = base else { return reads(0) };
        if view.generation > by {
            return Decided::Superseded;
        }
        if !view.is_of(by) {
            if self.is_incomplete(&view, by) {
                return Decided::Next(Trigger::Refuses { given });
            }
            return reads(self.base(base, by).1);
        }
        let open = (0..EVENTS as u8).filter(|event| *event >= view.through).fold(0, |bits, event| bits | 1 << event);
        let open = given & open;
        if open == 0 {
            return Decided::Done;
        }
        if !view.behind && self.is_next(&view, open) || !self.keeps(Rule::Refold) {
            return Decided::Next(Trigger::Writes { given, base, next: self.fast(view, open, by) });
        }
        reads(view.through)
    }

    fn refolded(&self, base: Option<View>, tail: Counts, by: u8) -> View {
        let (snapshot, through) = self.base(base, by);
        let view = base.unwrap_or_default();
        let highest = (0..EVENTS).rev().find(|event| tail[*event] > 0).map_or(0, |event| event as u8 + 1);
        View {
            version: view.version + 1,
            state: plus(snapshot, tail),
            folded_to: view.folded_to.max(highest),
            through,
            snapshot,
            trimmed_to: view.trimmed_to,
            behind: false,
            generation: by,
        }
    }

    fn closed(&self, base: Option<View>, boundary: u8, rows: Counts, by: u8) -> View {
        let (snapshot, through) = self.base(base, by);
        let view = base.unwrap_or_default();
        let below: Counts = std::array::from_fn(|event| if (event as u8) < boundary { rows[event] } else { 0 });
        let highest = (0..EVENTS).rev().find(|event| rows[*event] > 0).map_or(0, |event| event as u8 + 1);
        let state = if self.keeps(Rule::Rewrite) { plus(snapshot, rows) } else { view.state };
        let folded_to = if view.is_of(by) { view.folded_to } else { through };
        View {
            version: view.version + 1,
            state,
            folded_to: folded_to.max(highest).max(boundary),
            through: boundary,
            snapshot: plus(snapshot, below),
            trimmed_to: if view.is_of(by) { view.trimmed_to } else { 0 },
            behind: false,
            generation: by,
        }
    }
}

impl World {
    /// Writes a view over the one that was read; whether that was the newest.
    fn put(&mut self, protocol: &Protocol, base: Option<View>, next: View) -> bool {
        let is_newest = self.view.map(|view| view.version) == base.map(|view| view.version);
        if !is_newest && protocol.keeps(Rule::Version) {
            return false;
        }
        if let Some(view) = self.view
            && (0..EVENTS).any(|event| next.state[event] < view.state[event] && event as u8 >= self.erased_to)
        {
            self.fault = Some("a view forgets an event");
        }
        self.before = self.view;
        self.view = Some(next);
        true
    }

    fn done(&mut self, given: u8) {
        for event in (0..EVENTS).filter(|event| has(given, *event)) {
            self.changes[event] = self.changes[event].saturating_sub(1);
        }
    }

    /// Whether an event was accepted, and not erased.
    fn counts(&self, event: usize) -> bool {
        self.accepted[event] && event as u8 >= self.erased_to
    }

    fn is_at_rest(&self) -> bool {
        self.deliveries == [0; EVENTS]
            && self.changes == [0; EVENTS]
            && self.under_way == [None; EVENTS]
            && self.triggers.iter().all(|trigger| *trigger == Trigger::Idle)
    }

    fn holds(&self) -> bool {
        let Some(view) = self.view else { return true };
        (0..EVENTS).all(|event| {
            let is_closed = (event as u8) < view.through;
            let snapshot = u8::from(is_closed && self.counts(event));
            view.state[event] <= u8::from(self.counts(event)) && view.snapshot[event] == snapshot
        })
    }

    /// Whether each accepted event is a row, or inside the snapshot that is stored.
    fn keeps_events(&self) -> bool {
        let snapshot = self.view.map_or([0; EVENTS], |view| view.snapshot);
        (0..EVENTS).all(|event| !self.counts(event) || self.rows[event] || snapshot[event] > 0)
    }

    /// Whether each event that was sent is counted once, or late; or the view says that it is behind.
    fn is_right_at_rest(&self, sent: Counts) -> bool {
        let (state, is_behind) = self.view.map_or(([0; EVENTS], false), |view| (view.state, view.behind));
        (0..EVENTS).all(|event| {
            let is_somewhere = self.accepted[event] || self.late[event] || sent[event] == 0;
            (state[event] == u8::from(self.counts(event)) || is_behind) && is_somewhere
        })
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            now: 0,
            deliveries: self.deliveries,
            under_way: [None; EVENTS],
            rows: [false; EVENTS],
            accepted: [false; EVENTS],
            late: [false; EVENTS],
            changes: [0; EVENTS],
            view: None,
            before: None,
            triggers: [Trigger::Idle; WORKERS_MAX],
            snapshotters: [Snapshotter::Idle; WORKERS_MAX],
            trimmer: Trimmer::Idle,
            eraser: Eraser::Idle,
            losses: self.losses,
            generation: 0,
            erasures: self.erasures,
            erased_to: 0,
            fault: None,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        // A write that is under way for the margin has landed.
        let may_tick = world.under_way.iter().flatten().all(|since| world.now < since + MARGIN);
        if world.now < END && may_tick {
            steps.push(Step::Tick);
        }
        for event in 0..EVENTS {
            if world.under_way[event].is_some() {
                steps.extend([Step::Insert(event), Step::ConsumerStops(event)]);
            } else if world.deliveries[event] > 0 && world.now >= event as u8 {
                steps.push(Step::Consume(event));
            }
        }
        // Functions of the deployment before are still started.
        let deployments = world.generation.saturating_sub(1)..=world.generation;
        let pending = (0..EVENTS).filter(|event| world.changes[*event] > 0).fold(0_u8, |bits, event| bits | 1 << event);
        for (trigger, state) in world.triggers.iter().enumerate().take(self.triggers) {
            match state {
                Trigger::Idle => {
                    let mut all: Vec<u8> =
                        (0..EVENTS).map(|event| 1 << event).filter(|bit| pending & bit != 0).collect();
                    if pending.count_ones() > 1 {
                        all.push(pending);
                    }
                    for (given, by) in all.iter().flat_map(|given| deployments.clone().map(|by| (*given, by))) {
                        steps.extend([false, true].map(|is_old| Step::Look { trigger, given, is_old, by }));
                    }
                }
                Trigger::Reads { .. } => steps.extend([Step::Page(trigger), Step::TriggerStops(trigger)]),
                Trigger::Refuses { .. } => steps.extend([Step::SayBehind(trigger), Step::TriggerStops(trigger)]),
                Trigger::Writes { .. } => {
                    steps.extend([Step::Write { trigger, is_lost: false }, Step::TriggerStops(trigger)]);
                    if world.losses > 0 {
                        steps.push(Step::Write { trigger, is_lost: true });
                    }
                }
            }
        }
        for (one, state) in world.snapshotters.iter().enumerate().take(self.snapshotters) {
            match state {
                Snapshotter::Idle => {
                    steps.extend(deployments.clone().map(|by| Step::Begin { snapshotter: one, by }));
                }
                Snapshotter::Reads { .. } => steps.extend([Step::SnapshotPage(one), Step::SnapshotterStops(one)]),
                Snapshotter::Writes { .. } => steps.extend([Step::Close(one), Step::SnapshotterStops(one)]),
            }
        }
        match world.trimmer {
            Trimmer::Idle => steps.extend(deployments.map(Step::TrimLook)),
            Trimmer::Marks { .. } => steps.extend([Step::Mark, Step::TrimmerStops]),
            Trimmer::Deletes { .. } => steps.extend([Step::Delete, Step::TrimmerStops]),
        }
        if world.generation < self.redefinitions {
            steps.push(Step::Deploy);
        }
        match world.eraser {
            Eraser::Idle if world.erasures > 0 => steps.push(Step::EraseLook),
            Eraser::Idle => {}
            Eraser::Writes { .. } => steps.extend([Step::Erase, Step::EraserStops]),
            Eraser::Deletes { .. } => steps.extend([Step::EraseRow, Step::EraserStops]),
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = *world;
        match step {
            Step::Tick => next.now += 1,
            Step::Consume(event) => {
                if self.is_accepted(event, world.now) {
                    next.under_way[event] = Some(world.now);
                } else {
                    next.late[event] = true;
                    next.deliveries[event] -= 1;
                }
            }
            Step::Insert(event) => {
                if !next.rows[event] {
                    next.rows[event] = true;
                    next.accepted[event] = true;
                    next.changes[event] += 1;
                }
                next.under_way[event] = None;
                next.deliveries[event] -= 1;
            }
            Step::ConsumerStops(event) => next.under_way[event] = None,
            Step::Look { trigger, given, is_old, by } => {
                let base = if is_old {
                    let is_enough = |view: &View| view.is_of(by) && !view.behind && self.is_next(view, given);
                    Some(world.before.filter(is_enough)?)
                } else {
                    world.view
                };
                if !is_old && !self.keeps(Rule::ViewBeforeRows) {
                    next.triggers[trigger] = Trigger::Reads { by, given, base: None, at: 0, tail: [0; EVENTS] };
                } else {
                    match self.decided(base, given, by) {
                        Decided::Superseded => return None,
                        Decided::Done => next.done(given),
                        Decided::Next(state) => next.triggers[trigger] = state,
                    }
                }
                if !self.keeps(Rule::Acknowledge) {
                    next.done(given);
                }
            }
            Step::Page(trigger) => {
                let Trigger::Reads { by, given, mut base, at, mut tail } = world.triggers[trigger] else { return None };
                let event = usize::from(at);
                if event < EVENTS {
                    tail[event] = u8::from(world.rows[event]);
                    next.triggers[trigger] = Trigger::Reads { by, given, base, at: at + 1, tail };
                } else {
                    if !self.keeps(Rule::ViewBeforeRows) {
                        base = world.view;
                        let (_, through) = self.base(base, by);
                        tail.iter_mut().take(through.into()).for_each(|event| *event = 0);
                    }
                    next.triggers[trigger] = Trigger::Writes { given, base, next: self.refolded(base, tail, by) };
                }
            }
            Step::Write { trigger, is_lost } => {
                let Trigger::Writes { given, base, next: view } = world.triggers[trigger] else { return None };
                next.triggers[trigger] = Trigger::Idle;
                // A refusal that is lost is as one that is heard.
                if next.put(self, base, view) {
                    if is_lost {
                        next.losses -= 1;
                    } else if self.keeps(Rule::Acknowledge) {
                        next.done(given);
                    }
                }
            }
            Step::SayBehind(trigger) => {
                let Trigger::Refuses { given } = world.triggers[trigger] else { return None };
                next.triggers[trigger] = Trigger::Idle;
                // Over whatever view there is now.
                if self.keeps(Rule::Behind)
                    && let Some(view) = world.view
                {
                    next.before = world.view;
                    next.view = Some(View { version: view.version + 1, behind: true, ..view });
                }
                next.done(given);
            }
            Step::TriggerStops(trigger) => next.triggers[trigger] = Trigger::Idle,
            Step::Begin { snapshotter, by } => {
                let boundary = world.now.checked_sub(LATENESS).filter(|boundary| *boundary > 0)?;
                if world.view.is_some_and(|view| view.generation > by || self.is_incomplete(&view, by)) {
                    return None;
                }
                let (base, (_, through)) = (world.view, self.base(world.view, by));
                if boundary <= through {
                    return None;
                }
                // What an erasure keeps out, and may have come again, is looked for first.
                let is_over = base.is_some_and(|view| self.is_base(&view, by) && view.is_erased());
                let at = if is_over && self.keeps(Rule::ErasedFirst) { 0 } else { through };
                next.snapshotters[snapshotter] = Snapshotter::Reads { by, base, boundary, at, rows: [0; EVENTS] };
            }
            Step::SnapshotPage(one) => {
                let Snapshotter::Reads { by, base, boundary, at, mut rows } = world.snapshotters[one] else {
                    return None;
                };
                let event = usize::from(at);
                let is_erased = at < self.base(base, by).1;
                let is_nothing = at == boundary && rows == [0; EVENTS]; // of it can be closed
                next.snapshotters[one] = if is_nothing || is_erased && world.rows[event] {
                    Snapshotter::Idle
                } else if event < EVENTS {
                    rows[event] = u8::from(world.rows[event]);
                    Snapshotter::Reads { by, base, boundary, at: at + 1, rows }
                } else {
                    Snapshotter::Writes { base, next: self.closed(base, boundary, rows, by) }
                };
            }
            Step::Close(one) => {
                let Snapshotter::Writes { base, next: view } = world.snapshotters[one] else { return None };
                next.snapshotters[one] = Snapshotter::Idle;
                next.put(self, base, view);
            }
            Step::SnapshotterStops(one) => next.snapshotters[one] = Snapshotter::Idle,
            Step::TrimLook(by) => {
                let view = world.view.filter(|view| view.through > 0 && view.generation <= by)?;
                // Of another definition's view nothing is known but what it keeps out.
                if !view.is_of(by) && !view.is_erased() {
                    return None;
                }
                let through =
                    if self.keeps(Rule::TrimThrough) { view.through } else { world.now.saturating_sub(LATENESS) };
                let is_left = (0..usize::from(through).min(EVENTS)).any(|event| world.rows[event]);
                if !is_left {
                    return None;
                }
                next.trimmer = if view.is_erased() || view.trimmed_to == through {
                    Trimmer::Deletes { through, at: 0 }
                } else {
                    let next = View { version: view.version + 1, trimmed_to: through, generation: by, ..view };
                    Trimmer::Marks { base: view, next }
                };
            }
            Step::Mark => {
                let Trimmer::Marks { base, next: marked } = world.trimmer else { return None };
                next.trimmer = if next.put(self, Some(base), marked) {
                    Trimmer::Deletes { through: marked.trimmed_to, at: 0 }
                } else {
                    Trimmer::Idle
                };
            }
            Step::Delete => {
                let Trimmer::Deletes { through, at } = world.trimmer else { return None };
                next.rows[usize::from(at)] = false;
                next.trimmer = if at + 1 < through.min(EVENTS as u8) {
                    Trimmer::Deletes { through, at: at + 1 }
                } else {
                    Trimmer::Idle
                };
            }
            Step::TrimmerStops => next.trimmer = Trimmer::Idle,
            Step::Deploy => next.generation += 1,
            Step::EraseLook => {
                let view = world.view.unwrap_or_default();
                // All that the view has folded is below it.
                let through = Some(world.now.max(view.folded_to)).filter(|through| *through > 0)?;
                let erased = View {
                    version: view.version + 1,
                    folded_to: through,
                    through,
                    behind: view.behind,
                    generation: world.generation,
                    ..View::default()
                };
                next.eraser = Eraser::Writes { base: world.view, next: erased };
            }
            Step::Erase => {
                let Eraser::Writes { base, next: erased } = world.eraser else { return None };
                next.eraser = Eraser::Idle; // it looks again
                let before = world.erased_to;
                next.erased_to = before.max(erased.through);
                if next.put(self, base, erased) {
                    next.erasures -= 1;
                    next.eraser = Eraser::Deletes { through: erased.through, at: 0 };
                } else {
                    next.erased_to = before;
                }
            }
            Step::EraseRow => {
                let Eraser::Deletes { through, at } = world.eraser else { return None };
                next.rows[usize::from(at)] = false;
                let end = if self.keeps(Rule::EraseBelow) { through.min(EVENTS as u8) } else { EVENTS as u8 };
                next.eraser = if at + 1 < end { Eraser::Deletes { through, at: at + 1 } } else { Eraser::Idle };
            }
            Step::EraserStops => next.eraser = Eraser::Idle,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "a view holds what was accepted, once, and its snapshot all that is closed",
                |_, world: &World| world.holds(),
            ),
            Property::always("no accepted event is deleted before a snapshot holds it", |_, world: &World| {
                world.keeps_events()
            }),
            Property::always("a view forgets nothing", |_, world: &World| world.fault.is_none()),
            Property::always("at rest, every event is counted once or is late", |protocol: &Self, world: &World| {
                !world.is_at_rest() || world.is_right_at_rest(protocol.deliveries)
            }),
            Property::sometimes("all is closed and trimmed", |protocol: &Self, world: &World| {
                let all = protocol.deliveries.map(|times| times.min(1));
                world.is_at_rest() && world.rows == [false; EVENTS] && world.view.is_some_and(|view| view.state == all)
            }),
        ];
        if self.redefinitions > 0 {
            properties.extend([
                Property::sometimes("all is folded by a changed definition", |protocol: &Self, world: &World| {
                    let all = protocol.deliveries.map(|times| times.min(1));
                    world.view.is_some_and(|view| view.state == all && view.generation == 1)
                }),
                Property::sometimes("all is there but for what a changed definition refused", |_, world: &World| {
                    world.is_at_rest() && world.view.is_some_and(|view| view.behind)
                }),
            ]);
        }
        if self.erasures > 0 {
            properties.push(Property::sometimes(
                "all is erased but what came since",
                |protocol: &Self, world: &World| {
                    let is_gone = (0..EVENTS).all(|event| event as u8 >= world.erased_to || !world.rows[event]);
                    let counts = (0..EVENTS).filter(|event| world.counts(*event)).count();
                    let is_new_life = counts > 0 || protocol.deliveries.iter().filter(|times| **times > 0).count() == 1;
                    world.is_at_rest() && world.erased_to > 0 && is_gone && is_new_life
                },
            ));
        }
        properties
    }
}
