//! Runs a part of the proof, and prints its report as one line of JSON.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use millpond_proof::disk::images::{self, Asked};
use millpond_proof::disk::{faults, flips, oracle, script};
use millpond_proof::flags::Lives;
use millpond_proof::model;
use millpond_proof::{drivers, engine};

/// Runs a part of the proof, and prints what it met as one line of JSON.
#[derive(Debug, Parser)]
#[command(name = "millpond-proof")]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Tries every schedule of the protocol's model.
    Model {
        /// Deliveries of each event, triggers, snapshotters, lost answers.
        #[arg(long, default_value = "111,2,1,1")]
        scope: String,
    },
    /// Lives of the processes' drivers over a store that does whatever it may.
    Drivers(Lives),
    /// Lives of the embedded engine.
    Engine(Lives),
    /// Opens crash images of recorded scripts with the real store.
    Disk {
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The first script's seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only this image.
        #[arg(long)]
        image: Option<u64>,
        /// A trace that was kept, instead of a new one.
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Names last when their folder was synced, and not before.
        #[arg(long)]
        posix: bool,
        /// Ends at the first failure.
        #[arg(long)]
        first: bool,
    },
    /// Does the steps of a script to a data folder, and says `ack N` after each.
    DiskScript {
        /// The data folder.
        #[arg(long)]
        dir: PathBuf,
        /// Which script.
        #[arg(long)]
        seed: u64,
        /// How many steps it has.
        #[arg(long)]
        steps: usize,
        /// Goes on after so many acknowledged steps.
        #[arg(long, default_value_t = 0)]
        resume: usize,
    },
    /// Judges a data folder of a script, one of whose files was damaged.
    DiskJudge {
        /// The data folder.
        #[arg(long)]
        dir: PathBuf,
        /// Which script.
        #[arg(long)]
        seed: u64,
        /// How many steps were acknowledged.
        #[arg(long)]
        acked: usize,
    },
    /// Turns over single bits of stored files.
    Flips {
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The first script's seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only this one.
        #[arg(long)]
        flip: Option<u64>,
        /// Ends at the first failure.
        #[arg(long)]
        first: bool,
    },
    /// Lets single calls of the system fail.
    Faults(faults::Asked),
    /// Kills the script at single calls of the system.
    Kills(faults::Asked),
    /// Prints a script.
    DiskShow {
        /// Which script.
        #[arg(long)]
        seed: u64,
        /// How many steps it has.
        #[arg(long, default_value_t = images::STEPS)]
        steps: usize,
    },
}

fn main() -> Result<()> {
    let report = match Args::parse().part {
        Part::Model { scope } => model::search(&scope)?,
        Part::Drivers(lives) => lives.live("drivers", "millpond-proof drivers", drivers::life)?,
        Part::Engine(lives) => lives.live("engine", "millpond-proof engine", engine::life)?,
        Part::Disk { seconds, seed, image, trace, posix, first } => {
            images::crashes(&Asked { seconds, seed, image, trace, posix, first })?
        }
        Part::DiskScript { dir, seed, steps, resume } => {
            return script::run(&dir, seed, resume, steps, script::say);
        }
        Part::DiskJudge { dir, seed, acked } => return flips::print_verdict(&dir, seed, acked),
        Part::Flips { seconds, seed, flip, first } => flips::flips(seconds, seed, flip, first)?,
        Part::Faults(asked) => faults::faults(&asked)?,
        Part::Kills(asked) => faults::kills(&asked)?,
        Part::DiskShow { seed, steps } => {
            let expected = oracle::Expected::new(seed, steps);
            expected.steps.iter().enumerate().for_each(|(index, step)| println!("{}: {step}", index + 1));
            return Ok(());
        }
    };
    report.print()
}
