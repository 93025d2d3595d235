//! Runs a part of the proof that is about AWS, and prints its report as one line of JSON.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand};
use millpond_proof::flags::Lives;
use millpond_proof_aws::functions;

/// Runs a part of the proof that is about AWS, and prints what it met as one line of JSON.
#[derive(Debug, Parser)]
#[command(name = "millpond-proof-aws")]
struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Lives of the five functions over streams, tables, queues and a bucket that do whatever they may.
    Functions(Lives),
}

fn main() -> Result<()> {
    let report = match Args::parse().part {
        Part::Functions(lives) => lives.live("functions", "millpond-proof-aws functions", functions::life)?,
    };
    report.print()
}
