//! Where a command works: on a data folder, or on a server in its place.

use std::path::PathBuf;

use clap::Args;

/// What every command on stored data takes.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The data folder [env: MILLPOND_DATA]
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub(crate) data: Option<PathBuf>,
    /// A server in its place, such as http://127.0.0.1:7717 [env: MILLPOND_SERVER]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// Print JSON (what is JSON anyway stays as it is)
    #[arg(long)]
    pub(crate) json: bool,
    /// The clock, in milliseconds since 1970 UTC, to reproduce a run; a server has its own
    #[arg(long, value_name = "MS", hide = true)]
    pub(crate) now: Option<u64>,
}

/// A server.
#[derive(Debug, Args)]
pub(crate) struct AtServer {
    /// The server, such as http://127.0.0.1:7717
    #[arg(long, value_name = "URL", env = "MILLPOND_SERVER")]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
}

/// How a server is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Credentials {
    /// What the server knows you by; others can see it in the list of processes, so better --token-file
    #[arg(long, value_name = "TOKEN", env = "MILLPOND_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file that holds the token
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The certificate authority (PEM) of the server's certificate, in place of the system's
    #[arg(long, value_name = "FILE", env = "MILLPOND_CA")]
    pub(crate) ca: Option<PathBuf>,
}
