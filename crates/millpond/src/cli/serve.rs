//! The command line of `serve` and `token`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};

use crate::access::Scope;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Definitions to serve; all joins in the data folder if none is given
    #[arg(value_name = "JOIN.toml")]
    pub(crate) definitions: Vec<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "DIR", env = "MILLPOND_DATA")]
    pub(crate) data: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", env = "MILLPOND_LISTEN", default_value = "127.0.0.1:7717")]
    pub(crate) listen: SocketAddr,
    /// The certificate and its chain (PEM); read again when the file changes
    #[arg(long, value_name = "FILE", env = "MILLPOND_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", env = "MILLPOND_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS or without tokens: something in front must protect it
    #[arg(long, env = "MILLPOND_INSECURE", value_parser = BoolishValueParser::new())]
    pub(crate) insecure: bool,
    /// Make views anew where a definition has changed, before serving
    #[arg(long, env = "MILLPOND_REBUILD", value_parser = BoolishValueParser::new())]
    pub(crate) rebuild: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) upkeep: UpkeepArgs,
    /// Seconds that requests may take to end when the server is told to stop
    #[arg(long, value_name = "N", env = "MILLPOND_STOP_SECONDS", default_value_t = 25)]
    pub(crate) stop_seconds: u64,
    /// The form of log lines, on standard error; MILLPOND_LOG filters them (`warn`, `millpond=debug`)
    #[arg(long, value_name = "FORM", env = "MILLPOND_LOG_FORM", default_value = "text")]
    pub(crate) log: LogForm,
    /// The page offers to send made-up events of the user-activity example to this join
    #[arg(long, value_name = "JOIN", hide = true)]
    pub(crate) try_it: Option<String>,
    /// Kibibytes of new events in memory before they are flushed, so that tests see flushes
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) memtable_kib: Option<u32>,
}

/// What requests and connections may take.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Bytes of one request's body
    #[arg(long, value_name = "BYTES", env = "MILLPOND_BODY_BYTES_MAX", default_value_t = 16 << 20,
        value_parser = clap::value_parser!(u64).range(1024..=1 << 30))]
    pub(crate) body_bytes_max: u64,
    /// Events of one request
    #[arg(long, value_name = "N", env = "MILLPOND_EVENTS_MAX", default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) events_max: u64,
    /// Bytes of the bodies of all requests that are being answered
    #[arg(long, value_name = "BYTES", env = "MILLPOND_INFLIGHT_BYTES_MAX", default_value_t = 256 << 20,
        value_parser = clap::value_parser!(u64).range(1024..=1 << 40))]
    pub(crate) inflight_bytes_max: u64,
    /// Open connections; fewer where the system allows fewer files
    #[arg(long, value_name = "N", env = "MILLPOND_CONNECTIONS_MAX", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections_max: u32,
}

/// Snapshots and trims in the background.
#[derive(Debug, Args)]
pub(crate) struct UpkeepArgs {
    /// No snapshots and trims in the background
    #[arg(long, env = "MILLPOND_NO_UPKEEP", value_parser = BoolishValueParser::new())]
    pub(crate) no_upkeep: bool,
    /// Of a core's time, at most so much for snapshots and trims
    #[arg(long, value_name = "PERCENT", env = "MILLPOND_UPKEEP_SHARE", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) upkeep_share: u32,
    /// Close a tail that could have been closed for so long, however short it is
    #[arg(long, value_name = "DURATION", env = "MILLPOND_SNAPSHOT_AGE", default_value = "1d", value_parser = duration)]
    pub(crate) snapshot_age: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogForm {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it, once; a name may have two, so that one can replace the other
    #[command(after_help = "Example:\n  millpond token add shop --scope ingest --data data")]
    Add(TokenAdd),
    /// Print the tokens' names and scopes, never the tokens
    #[command(after_help = "Example:\n  millpond token list --data data")]
    List(TokenData),
    /// Remove a token; a running server notices within a second
    #[command(
        after_help = "Example:\n  millpond token remove 5f0c21a9 --data data\n  millpond token remove shop --data data"
    )]
    Remove(TokenRemove),
}

#[derive(Debug, Args)]
pub(crate) struct TokenData {
    /// The data folder; a server may have it
    #[arg(long, value_name = "DIR", env = "MILLPOND_DATA")]
    pub(crate) data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenAdd {
    /// Who will use it
    pub(crate) name: String,
    /// What it allows; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, action = ArgAction::Append)]
    pub(crate) scopes: Vec<Scope>,
    #[command(flatten)]
    pub(crate) at: TokenData,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRemove {
    /// One token's id, or a name: then all of its tokens
    #[arg(value_name = "ID|NAME")]
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) at: TokenData,
}

/// `500ms`, `30s`, `15m`, `12h`, `7d`: the spellings of a definition's lateness.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let ms = number.parse::<u64>().ok().zip(unit_ms).and_then(|(number, unit)| number.checked_mul(unit));
    ms.map(Duration::from_millis).ok_or_else(|| "expected a number and ms, s, m, h or d, such as 12h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let right = [("0s", 0), ("500ms", 500), ("15m", 900_000), ("1d", 86_400_000)];
        for (text, ms) in right {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "d", "-1s", "1.5h", "1 d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
