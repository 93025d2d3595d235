//! The flags of commands that live lives.

use std::time::Duration;

use anyhow::{Error, Result};
use clap::Args;

use crate::lives::{Amount, Lived, live};
use crate::plan::{Fault, Plan};
use crate::report::Report;

/// Which lives.
#[derive(Debug, Args)]
pub struct Lives {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// So many seeds at most.
    #[arg(long)]
    seeds: Option<u64>,
    /// No new one after so long.
    #[arg(long)]
    seconds: Option<u64>,
    /// Live each twice, and compare.
    #[arg(long)]
    twice: bool,
    /// Do not make a failing life shorter.
    #[arg(long)]
    unshrunk: bool,
    /// Only this seed, with only these events.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["seeds", "seconds"])]
    keep: Vec<usize>,
    /// Only this seed, without these faults.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["seeds", "seconds"])]
    off: Vec<String>,
}

impl Lives {
    /// Lives them.
    ///
    /// # Errors
    /// If there is no such fault.
    pub fn live(&self, part: &str, command: &str, life: impl Fn(&Plan) -> Lived) -> Result<Report> {
        let off =
            self.off.iter().map(|fault| fault.parse::<Fault>()).collect::<Result<Vec<_>, _>>().map_err(Error::msg)?;
        let (kept, is_one) = (self.keep.clone(), self.seeds.is_none() && self.seconds.is_none());
        let lives = if is_one { 1 } else { self.seeds.unwrap_or(u64::MAX) };
        let time = self.seconds.map_or(Duration::MAX, Duration::from_secs);
        let amount = Amount { seed: self.seed, lives, time, twice: self.twice, shrinks: !self.unshrunk };
        Ok(live(part, command, amount, |plan: &Plan| {
            let mut plan = plan.clone();
            plan.kept = if plan.kept.is_empty() { kept.clone() } else { plan.kept };
            plan.off.extend(off.iter().copied().filter(|fault| !plan.off.contains(fault)).collect::<Vec<_>>());
            life(&plan)
        }))
    }
}
