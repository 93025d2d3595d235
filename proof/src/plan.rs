//! What a life is made from: a seed, and what of it is left out to make a failing one shorter.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use fastrand::Rng;

/// Something that goes wrong, or is made to come in an unkind way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A producer sends an event again, now or long after.
    Duplicate,
    /// An event comes when its place is closed.
    Late,
    /// Bytes that are no event, or one from the future.
    Poison,
    /// Another event with the identity of one that was sent.
    SameId,
    /// Events are sent in another order than that of their timestamps.
    Disorder,
    /// Much time passes at once, and whatever was under way has timed out.
    ClockJump,
    /// Clocks differ.
    Skew,
    /// A call is refused before anything was done.
    Refused,
    /// A call is done, and its answer is lost.
    Lost,
    /// A call is done after its caller gave it up.
    Delayed,
    /// Whoever runs stops between two calls, or in one.
    Crash,
    /// A batch that was done is delivered again.
    Redelivery,
    /// A part of a batch fails, and all behind it comes again.
    PartialBatch,
    /// A change record is never delivered; its key is refolded by hand.
    LostChange,
    /// Items of a batch of deletes are left undone.
    Unprocessed,
    /// A read that need not be consistent shows what was.
    Stale,
    /// A page of rows ends early.
    ShortPage,
    /// Records are spread over other shards from now on.
    Reshard,
    /// A new definition is deployed while functions of the old one still run.
    Redefined,
    /// A restart, with everything that was in memory gone.
    Restart,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Duplicate,
        Self::Late,
        Self::Poison,
        Self::SameId,
        Self::Disorder,
        Self::ClockJump,
        Self::Skew,
        Self::Refused,
        Self::Lost,
        Self::Delayed,
        Self::Crash,
        Self::Redelivery,
        Self::PartialBatch,
        Self::LostChange,
        Self::Unprocessed,
        Self::Stale,
        Self::ShortPage,
        Self::Reshard,
        Self::Redefined,
        Self::Restart,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in format!("{self:?}").chars().enumerate() {
            if index > 0 && letter.is_uppercase() {
                out.write_char('-')?;
            }
            out.write_char(letter.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|fault| fault.to_string() == text);
        known.ok_or_else(|| format!("there is no fault `{text}`"))
    }
}

/// How often each fault happens in one life, in percent. Some never do, some often: what all faults
/// together hide, a few of them show.
#[derive(Clone, Debug)]
pub struct Weights([u32; Fault::ALL.len()]);

impl Weights {
    fn draw(chance: &mut Rng) -> Self {
        const CHOICES: [u32; 6] = [0, 0, 1, 3, 8, 20];
        Self(std::array::from_fn(|_| CHOICES[chance.usize(..CHOICES.len())]))
    }

    /// In percent.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u32 {
        self.0[fault as usize]
    }
}

/// A life to be lived: the same plan gives the same life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// Which events are sent, by their numbers; all if there are none.
    pub kept: Vec<usize>,
    /// Faults that do not happen.
    pub off: Vec<Fault>,
}

impl Plan {
    /// The whole life of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Chance for one purpose: none depends on what another draws.
    #[must_use]
    pub fn chance(&self, purpose: u64) -> Rng {
        Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    /// How often each fault happens.
    #[must_use]
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::draw(&mut self.chance(0));
        for off in &self.off {
            weights.0[*off as usize] = 0;
        }
        weights
    }

    /// Whether an event is sent.
    #[must_use]
    pub fn keeps(&self, event: usize) -> bool {
        self.kept.is_empty() || self.kept.contains(&event)
    }
}

/// The flags of the command that lives it again.
impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "--seed {}", self.seed)?;
        if !self.kept.is_empty() {
            let kept: Vec<String> = self.kept.iter().map(usize::to_string).collect();
            write!(out, " --keep {}", kept.join(","))?;
        }
        if !self.off.is_empty() {
            let off: Vec<String> = self.off.iter().map(Fault::to_string).collect();
            write!(out, " --off {}", off.join(","))?;
        }
        Ok(())
    }
}

/// Makes a failing plan shorter, as long as it fails: fewer events, fewer kinds of faults.
#[must_use]
pub fn shrunk(plan: &Plan, events: usize, tries_max: usize, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut tries = 0;
    let mut attempt = |next: Plan, best: &mut Plan| {
        tries += 1;
        let is_shorter = tries <= tries_max && fails(&next);
        if is_shorter {
            *best = next;
        }
        is_shorter
    };
    for fault in Fault::ALL {
        if !best.off.contains(&fault) && plan.weights().of(fault) > 0 {
            let mut next = best.clone();
            next.off.push(fault);
            attempt(next, &mut best);
        }
    }
    let mut kept: Vec<usize> = (0..events).filter(|event| best.keeps(*event)).collect();
    let mut step = kept.len().div_ceil(2);
    while step > 0 {
        let mut from = 0;
        while from < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(from..(from + step).min(kept.len()));
            // None would mean all.
            if !fewer.is_empty() && attempt(Plan { kept: fewer.clone(), ..best.clone() }, &mut best) {
                kept = fewer;
            } else {
                from += step;
            }
        }
        step /= 2;
    }
    best
}
