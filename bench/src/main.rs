//! The bench's command line.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use millpond_bench::generate::generate;
use millpond_bench::workload::Workload;

/// Makes the workload that Millpond is measured by.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write events.ndjson, shuffled-doubled.ndjson and expected.ndjson
    Generate(Generate),
}

#[derive(Args)]
struct Generate {
    /// The directory to write into; made if need be
    #[arg(long)]
    out: PathBuf,
    /// Distinct events
    #[arg(long, default_value_t = Workload::default().events)]
    events: u64,
    /// Keys that the events are spread over
    #[arg(long, default_value_t = Workload::default().keys, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: u64,
    /// The same seed gives the same bytes
    #[arg(long, default_value_t = Workload::default().seed)]
    seed: u64,
    /// Leave out shuffled-doubled.ndjson, which is made in memory
    #[arg(long)]
    no_shuffled: bool,
}

/// The generator keeps a byte a key.
const KEYS_MAX: u64 = 1_000_000_000;

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Generate(args) => {
            let workload = Workload { seed: args.seed, events: args.events, keys: args.keys, ..Workload::default() };
            for summary in generate(&workload, &args.out, !args.no_shuffled)? {
                println!("{summary}");
            }
        }
    }
    Ok(())
}
