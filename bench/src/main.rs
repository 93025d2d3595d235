//! The bench's command line.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use millpond_bench::generate::generate;
use millpond_bench::measure::{Bench, Group, Machine, Programs, child, markdown, target_dir};
use millpond_bench::workload::Workload;

/// Makes the workload that Millpond is measured by, and measures it.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write events.ndjson, shuffled-doubled.ndjson and expected.ndjson
    Generate(Generate),
    /// Measure everything and print one table; progress goes to standard error
    Table(Table),
    /// A part of `table` that needs a process of its own
    #[command(hide = true)]
    Child { task: String },
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

#[derive(Args)]
struct Table {
    /// One run of everything, where otherwise a median of three is taken
    #[arg(long)]
    quick: bool,
    /// Multiply every size by this; figures of less than 1 only tell whether all works
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Measure only these groups
    #[arg(long, value_enum, value_delimiter = ',', value_name = "GROUP")]
    only: Vec<Group>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write what is printed into a file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What to put into the header; a bench that asks no calendar prints the same table again
    #[arg(long, value_name = "TEXT")]
    date: Option<String>,
    /// Where stores are made and inputs kept; `bench-data` in the build's folder if absent
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The median of three runs is the one that no single disturbance can reach.
const RUNS: usize = 3;

/// The generator keeps a byte a key.
const KEYS_MAX: u64 = 1_000_000_000;

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Generate(args) => write_files(&args),
        Command::Table(args) => table(args),
        Command::Child { task } => child(&task),
    }
}

fn write_files(args: &Generate) -> anyhow::Result<()> {
    let workload = Workload { seed: args.seed, events: args.events, keys: args.keys, ..Workload::default() };
    for summary in generate(&workload, &args.out, !args.no_shuffled)? {
        println!("{summary}");
    }
    Ok(())
}

fn table(args: Table) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("where is this program?")?;
    let dir = match args.dir {
        Some(dir) => dir,
        None => target_dir(&this)?.join("bench-data"),
    };
    let runs = if args.quick { 1 } else { RUNS };
    let bench = Bench { programs: Programs::beside(&this)?, dir, runs, scale: args.scale };
    let groups = if args.only.is_empty() { Group::value_variants() } else { &args.only };
    let figures = bench.measure(groups)?;
    let machine = Machine::of(&bench, args.date)?;
    let text = match args.json {
        true => format!("{}\n", serde_json::json!({ "machine": machine, "figures": figures })),
        false => markdown(&machine, &figures),
    };
    print!("{text}");
    match args.out {
        Some(out) => std::fs::write(&out, text).with_context(|| format!("writing {}", out.display())),
        None => Ok(()),
    }
}
