//! The bench's command line.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use millpond_bench::generate::generate;
use millpond_bench::measure::{Bench, Group, Machine, Programs, Steady, child, markdown, target_dir};
use millpond_bench::workload::Workload;

/// As `millpond` has: parts of it are measured in processes of this program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    /// Measure a server under load; progress goes to standard error
    #[command(subcommand)]
    Serve(Serve),
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

#[derive(Subcommand)]
enum Serve {
    /// The published workload as fast as it is taken, and `millpond run` on the same events
    Peak(Peak),
    /// A share of the peak for a long time, by the clock, with readers, snapshots and trims beside it
    Steady(SteadyArgs),
}

#[derive(Args)]
struct Peak {
    /// One run of everything, where otherwise a median of three is taken
    #[arg(long)]
    quick: bool,
    /// Multiply every size by this; figures of less than 1 only tell whether all works
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[command(flatten)]
    told: Told,
}

#[derive(Args)]
struct SteadyArgs {
    /// How long, warm-up not counted
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Hundredths of the peak, which is looked for first
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..))]
    share: u32,
    /// Keys that events are spread over
    #[arg(long, default_value_t = Workload::default().keys, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    keys: u64,
    /// Connections that send
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Events of a request
    #[arg(long, default_value_t = 100)]
    batch: usize,
    #[command(flatten)]
    told: Told,
}

/// Where figures of a server go.
#[derive(Args)]
struct Told {
    /// Write figures and samples as JSON; `bench-data/serve-….json` in the build's folder if absent
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What to put into the header
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
        Command::Serve(args) => serve(args),
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

fn bench(dir: Option<PathBuf>, runs: usize, scale: f64) -> anyhow::Result<Bench> {
    let this = std::env::current_exe().context("where is this program?")?;
    let dir = match dir {
        Some(dir) => dir,
        None => target_dir(&this)?.join("bench-data"),
    };
    Ok(Bench { programs: Programs::beside(&this)?, dir, runs, scale })
}

fn table(args: Table) -> anyhow::Result<()> {
    let bench = bench(args.dir, if args.quick { 1 } else { RUNS }, args.scale)?;
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

fn serve(args: Serve) -> anyhow::Result<()> {
    let (bench, measured, name, told) = match args {
        Serve::Peak(Peak { quick, scale, told }) => {
            let bench = bench(told.dir.clone(), if quick { 1 } else { RUNS }, scale)?;
            let measured = bench.serve_peak()?;
            (bench, measured, "serve-peak.json", told)
        }
        Serve::Steady(args) => {
            let SteadyArgs { minutes, share, keys, connections, batch, told } = args;
            let bench = bench(told.dir.clone(), 1, 1.0)?;
            let lasts = Duration::from_secs_f64(minutes * 60.0);
            let steady = Steady { lasts, share_percent: share, keys, connections, batch_events: batch };
            let measured = bench.serve_steady(&steady)?;
            (bench, measured, "serve-steady.json", told)
        }
    };
    let machine = Machine::of(&bench, told.date)?;
    print!("{}", markdown(&machine, &measured.figures));
    let file = told.json.unwrap_or_else(|| bench.dir.join(name));
    let json = serde_json::json!({ "machine": machine, "measured": measured });
    std::fs::write(&file, json.to_string()).with_context(|| format!("writing {}", file.display()))?;
    eprintln!("bench: {} has it all", file.display());
    ensure!(measured.failures.is_empty(), "requests failed: {:#?}", measured.failures);
    Ok(())
}
