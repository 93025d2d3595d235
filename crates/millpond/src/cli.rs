//! The command line.

pub(crate) mod remote;
pub(crate) mod serve;
pub(crate) mod target;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use self::target::Target;

/// Joins the events of several sources by a key into materialized views, and keeps every view
/// right and cheap with snapshots.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong command line or definition, 3 verify found differences,
4 no such join, key or entry, 5 data folder in use, 6 definition changed and a rebuild would lose events.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Join files of events durably: NDJSON, or JSON arrays
    #[command(
        after_help = "Example:\n  millpond run join.toml events.ndjson --data data\n  zcat old.gz | millpond run join.toml - --data data"
    )]
    Run(Run),
    /// Print one view, or all as NDJSON in the order of keys
    #[command(
        after_help = "Example:\n  millpond view user-activity user-1 --data data\n  millpond view user-activity --data data > views.ndjson"
    )]
    View(View),
    /// Print the stored events of a key as NDJSON, in the order of positions
    #[command(after_help = "Example:\n  millpond events user-activity user-1 --data data")]
    Events(OfKey),
    /// Explain each field of a view: the snapshot's part, and the events that made the rest
    #[command(after_help = "Example:\n  millpond explain user-activity user-1 --data data")]
    Explain(OfKey),
    /// Fold what nothing can precede any more into snapshots, of one key or of all
    #[command(after_help = "Example:\n  millpond snapshot user-activity --data data")]
    Snapshot(OfKeys),
    /// Delete the events that snapshots cover, of one key or of all
    #[command(after_help = "Example:\n  millpond trim user-activity --data data")]
    Trim(OfKeys),
    /// The late queue: events that came after their place was closed
    #[command(subcommand)]
    Late(Late),
    /// The quarantine: what could not be joined, with its reason
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Fold everything anew from snapshots and events, and print each difference: there must be none
    #[command(after_help = "Example:\n  millpond verify --data data\n  millpond verify user-activity --data data")]
    Verify(Verify),
    /// Check a definition: its plan, bounds and faults
    #[command(after_help = "Example:\n  millpond check join.toml")]
    Check(Check),
    /// Apply a changed definition to the stored events
    #[command(after_help = "Example:\n  millpond rebuild join.toml --data data")]
    Rebuild(Rebuild),
    /// Print what was counted since a join was made
    #[command(after_help = "Example:\n  millpond stats user-activity --data data --json")]
    Stats(Stats),
    /// Remove everything that is stored of a key, for good
    #[command(after_help = "Example:\n  millpond erase user-activity user-1 --data data --yes")]
    Erase(Erase),
    /// Give files of events to a server
    #[command(
        after_help = "Example:\n  millpond put events.ndjson --join user-activity --server http://127.0.0.1:7717\n  tail -f log | millpond put - --fill --server http://127.0.0.1:7717"
    )]
    Put(remote::Put),
    /// Print the views of a server as they change, until it is stopped
    #[command(after_help = "Example:\n  millpond watch user-activity user-1 --server http://127.0.0.1:7717")]
    Watch(remote::Watch),
    /// The joins of a server
    #[command(subcommand)]
    Join(remote::Join),
    /// Serve an example with made-up events, to look at
    #[command(after_help = "Example:\n  millpond demo")]
    Demo(remote::Demo),
    /// Serve joins over HTTP: take events, answer views, keep them cheap
    #[command(
        after_help = "Example:\n  millpond serve join.toml --data data\n  millpond serve --data data --listen 0.0.0.0:7717 --tls-cert cert.pem --tls-key key.pem"
    )]
    Serve(Box<serve::Serve>),
    /// Who may use a server: tokens with scopes
    #[command(subcommand)]
    Token(serve::Token),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The definition
    #[arg(value_name = "JOIN.toml")]
    pub(crate) definition: PathBuf,
    /// Files of events; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Events of one durable commit
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Kibibytes of new events in memory before they are flushed, so that tests see flushes
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) memtable_kib: Option<u32>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct View {
    /// The join
    pub(crate) join: String,
    /// The key; all if absent
    pub(crate) key: Option<String>,
    /// Only keys that begin with this
    #[arg(long, default_value = "", conflicts_with = "key", hide_default_value = true)]
    pub(crate) prefix: String,
    /// The view as it was at this time of events: milliseconds since 1970 UTC, or as 2025-10-09T08:53:20Z
    #[arg(long, value_name = "TIME", requires = "key", value_parser = time)]
    pub(crate) at: Option<u64>,
    /// Only views of which this holds: `FIELD OP VALUE` with = != < <= > >=; repeated, all must hold
    #[arg(long = "where", value_name = "CONDITION", conflicts_with = "key")]
    pub(crate) conditions: Vec<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

fn time(text: &str) -> Result<u64, String> {
    let instant = text.parse::<u64>().ok().or_else(|| {
        let instant: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(instant.as_millisecond()).ok()
    });
    instant.ok_or_else(|| "expected milliseconds since 1970 UTC, or a time such as 2025-10-09T08:53:20Z".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct OfKey {
    /// The join
    pub(crate) join: String,
    /// The key
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct OfKeys {
    /// The join
    pub(crate) join: String,
    /// The key; all if absent
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The join; all if absent
    pub(crate) join: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The definition
    #[arg(value_name = "JOIN.toml")]
    pub(crate) definition: PathBuf,
    /// Ask this server, whose millpond may be another version, as well
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) credentials: target::Credentials,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The definition
    #[arg(value_name = "JOIN.toml")]
    pub(crate) definition: PathBuf,
    /// Let the stored events go whose types the definition no longer names
    #[arg(long)]
    pub(crate) drop_unnamed: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The join
    pub(crate) join: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The join
    pub(crate) join: String,
    /// The key
    pub(crate) key: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Late {
    /// Print the waiting events
    #[command(after_help = "Example:\n  millpond late list user-activity --data data")]
    List(OfKeys),
    /// Fold waiting events into the snapshots: you vouch that they are no repeats of trimmed ones
    #[command(after_help = "Example:\n  millpond late accept user-activity user-1 1760000000000/e-17 --data data")]
    Accept(LateChoice),
    /// Remove waiting events for good
    #[command(after_help = "Example:\n  millpond late drop user-activity --all --data data")]
    Drop(LateChoice),
}

#[derive(Debug, Args)]
pub(crate) struct LateChoice {
    /// The join
    pub(crate) join: String,
    /// The key
    #[arg(required_unless_present = "all")]
    pub(crate) key: Option<String>,
    /// The event's position, as `late list` prints it; all of the key if absent
    #[arg(value_name = "TIMESTAMP/ID")]
    pub(crate) position: Option<millpond_core::Position>,
    /// All events of all keys
    #[arg(long, conflicts_with = "key")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Print what is in quarantine, and why
    #[command(after_help = "Example:\n  millpond quarantine list user-activity --data data")]
    List(Stats),
    /// Print the bytes of an entry as they were received
    #[command(after_help = "Example:\n  millpond quarantine show user-activity 0f3c… --data data")]
    Show(QuarantineOne),
    /// Try to join entries again, after their reason has gone
    #[command(after_help = "Example:\n  millpond quarantine retry user-activity --all --data data")]
    Retry(QuarantineChoice),
    /// Remove entries for good
    #[command(after_help = "Example:\n  millpond quarantine drop user-activity 0f3c… --data data")]
    Drop(QuarantineChoice),
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineOne {
    /// The join
    pub(crate) join: String,
    /// The entry, as `quarantine list` prints it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineChoice {
    /// The join
    pub(crate) join: String,
    /// The entry, as `quarantine list` prints it
    #[arg(required_unless_present = "all")]
    pub(crate) id: Option<String>,
    /// All entries
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}
