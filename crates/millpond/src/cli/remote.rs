//! The command line of what works on a server only, and of the demo.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::target::AtServer;

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Files of events, NDJSON or JSON arrays; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Give them to this join; to every join of the server if absent
    #[arg(long, value_name = "NAME")]
    pub(crate) join: Option<String>,
    /// Give events without `id` a new one, and events without `timestamp` the present time
    #[arg(long)]
    pub(crate) fill: bool,
    /// Events of one request
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// How long to try again while the server cannot be reached or is busy
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) retry_seconds: u64,
    #[command(flatten)]
    pub(crate) server: AtServer,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The join
    pub(crate) join: String,
    /// The key; all if absent
    pub(crate) key: Option<String>,
    /// Only keys that begin with this
    #[arg(long, default_value = "", conflicts_with = "key", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Begin with every view that there is
    #[arg(long)]
    pub(crate) from_start: bool,
    #[command(flatten)]
    pub(crate) server: AtServer,
    /// Print JSON, with key and version
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Join {
    /// Print the joins of a server
    #[command(after_help = "Example:\n  millpond join list --server http://127.0.0.1:7717")]
    List(JoinList),
    /// Serve a join more, or its changed definition
    #[command(after_help = "Example:\n  millpond join add join.toml --server http://127.0.0.1:7717")]
    Add(JoinAdd),
    /// Stop serving a join
    #[command(after_help = "Example:\n  millpond join remove user-activity --server http://127.0.0.1:7717")]
    Remove(JoinRemove),
}

#[derive(Debug, Args)]
pub(crate) struct JoinList {
    #[command(flatten)]
    pub(crate) server: AtServer,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JoinAdd {
    /// The definition
    #[arg(value_name = "JOIN.toml")]
    pub(crate) definition: PathBuf,
    #[command(flatten)]
    pub(crate) server: AtServer,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JoinRemove {
    /// The join
    pub(crate) name: String,
    /// Delete what is stored of it too, for good
    #[arg(long)]
    pub(crate) delete_data: bool,
    #[command(flatten)]
    pub(crate) server: AtServer,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7717")]
    pub(crate) listen: SocketAddr,
    /// Keep the data in this folder; otherwise it is gone at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// The same number makes the same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}
