//! `millpond serve`: checks what it is asked for, opens, serves, and stops with nothing lost.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use millpond_core::Join;
use millpond_store::{DataFolder, Options};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;

use super::{clock, definition, rebuild};
use crate::access::Access;
use crate::cli::serve::{LogForm, Serve, UpkeepArgs};
use crate::edge::{self, Edge, Tls};
use crate::exit::{BadDefinition, NeedsRebuild, NotFound, WRONG, Wrong, report};
use crate::http::{self, Hosts, Limits, Page, State};
use crate::service::{Refused, Service, Upkeep};

/// For closing the joins, however short the time for requests is.
const CLOSE_WAIT_MIN: Duration = Duration::from_secs(10);
/// Of the newest repeats of a join: some thousands.
const DUPLICATES_BYTES_KEPT: usize = 1 << 20;

pub(super) fn serve(args: Serve) -> Result<ExitCode> {
    log(args.log)?;
    let Some(joins) = definitions(&args)? else { return Ok(ExitCode::from(WRONG)) };
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(Tls::load(cert, key)?),
        _ => None,
    };
    let access = Arc::new(Access::open(&args.data)?);
    check_exposure(&args, tls.is_some(), &access)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let ended = runtime.block_on(run(args, joins, tls, access));
    // Whatever still works on a store ends with the process, as in a crash: its log has everything.
    runtime.shutdown_background();
    ended
}

async fn run(args: Serve, joins: Vec<Join>, tls: Option<Tls>, access: Arc<Access>) -> Result<ExitCode> {
    let listener = edge::listen(args.listen)?;
    let address = listener.local_addr()?;
    let connections_max = edge::connections_max(args.limits.connections_max as usize);
    let service = open(&args, joins)?;
    let stopping = edge::on_signal().context("cannot listen to signals")?;
    let router = http::router(state(&args, &service, access, stopping.clone()));
    let scheme = if tls.is_some() { "https" } else { "http" };
    tell_ready(&service, &format!("{scheme}://{address}"))?;
    let stop_wait = Duration::from_secs(args.stop_seconds);
    Edge { listener, router, tls, connections_max, stopping, stop_wait }.serve().await;
    edge::notify("STOPPING=1");
    stop(service, stop_wait.max(CLOSE_WAIT_MIN)).await
}

fn log(form: LogForm) -> Result<()> {
    let filter = match std::env::var("MILLPOND_LOG") {
        Ok(text) => text.parse::<EnvFilter>().map_err(|error| Wrong(format!("MILLPOND_LOG: {error}")))?,
        Err(_) => EnvFilter::new("info"),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // That nobody reads the log (any more) must stop nothing; by default it would be a panic.
    let lines = lines.log_internal_errors(false);
    match form {
        LogForm::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogForm::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// All definitions, or nothing if some are wrong: their faults are told.
fn definitions(args: &Serve) -> Result<Option<Vec<Join>>> {
    let mut joins = Vec::new();
    let mut bad = false;
    for path in &args.definitions {
        match definition(path) {
            Ok(join) => joins.push((path, join)),
            Err(error) if error.is::<BadDefinition>() => {
                report(&error);
                bad = true;
            }
            Err(error) => return Err(error),
        }
    }
    let mut named: BTreeMap<&str, &Path> = BTreeMap::new();
    for (path, join) in &joins {
        if let Some(other) = named.insert(join.name(), path) {
            let (name, other, path) = (join.name(), other.display(), path.display());
            bail!(Wrong(format!("{other} and {path} both define the join `{name}`: give one of them another name")));
        }
    }
    Ok((!bad).then(|| joins.into_iter().map(|(_, join)| join).collect()))
}

/// Whoever can reach the address can do what access allows, and read what is not encrypted.
fn check_exposure(args: &Serve, tls: bool, access: &Access) -> Result<()> {
    let guarded = access.is_guarded();
    if args.listen.ip().is_loopback() || args.insecure || (tls && guarded) {
        return Ok(());
    }
    let mut missing = Vec::new();
    if !tls {
        missing.push("encryption: give --tls-cert and --tls-key".to_owned());
    }
    if !guarded {
        let data = args.data.display();
        missing.push(format!("access control: `millpond token add NAME --scope ingest --data {data}` makes a token"));
    }
    let (address, missing) = (args.listen, missing.join("\n  "));
    bail!(Wrong(format!(
        "{address} can be reached from other machines, without\n  {missing}\n--insecure serves all the same, where something in front protects it"
    )))
}

/// Opens what is to be served; blocks for as long as it takes to read logs.
fn open(args: &Serve, joins: Vec<Join>) -> Result<Arc<Service>> {
    let data = args.data.display();
    if joins.is_empty() && !args.data.is_dir() {
        bail!(NotFound(format!(
            "there is no data folder {data} and no definition: `millpond serve JOIN.toml --data {data}` begins"
        )));
    }
    let folder = DataFolder::open_or_create(&args.data)?;
    if args.rebuild {
        for join in &joins {
            let join = Join::parse(join.source_text())?;
            rebuild::open_under(&folder, join, options(args))?.close()?;
        }
    }
    tell_not_served(&folder, &joins)?;
    let service = Service::open(folder, joins, options(args), clock, upkeep(&args.upkeep));
    service.map_err(|refused| refusal(refused, args))
}

/// Definitions on the command line say what is served: whoever gives some may have forgotten others.
fn tell_not_served(folder: &DataFolder, joins: &[Join]) -> Result<()> {
    if !joins.is_empty() {
        for name in folder.joins()?.iter().filter(|name| !joins.iter().any(|join| join.name() == *name)) {
            tracing::warn!(join = name, "is in the data folder, but not served: no definition given names it");
        }
    }
    Ok(())
}

fn options(args: &Serve) -> Options {
    let usual = Options::default();
    let memtable_bytes = args.memtable_kib.map_or(usual.memtable_bytes, |kib| kib as usize * 1024);
    Options { memtable_bytes, duplicates_bytes_kept: DUPLICATES_BYTES_KEPT, ..usual }
}

fn upkeep(args: &UpkeepArgs) -> Option<Upkeep> {
    let UpkeepArgs { no_upkeep, upkeep_share: share_percent, snapshot_age } = *args;
    Some(Upkeep { snapshots: !no_upkeep, share_percent, snapshot_age, ..Upkeep::default() })
}

fn refusal(refused: Refused, args: &Serve) -> anyhow::Error {
    match refused {
        Refused::Store { error, .. } => error.into(),
        Refused::Changed { name } => NeedsRebuild(format!(
            "the definition of `{name}` makes other views than the stored one: `millpond rebuild JOIN.toml --data {}` makes them anew, or `millpond serve --rebuild` before it serves",
            args.data.display()
        ))
        .into(),
        refused => refused.into(),
    }
}

/// The line that scripts wait for, on standard output.
fn tell_ready(service: &Service, url: &str) -> Result<()> {
    let names: Vec<String> = service.joins().into_iter().map(|(name, _)| name).collect();
    let names = if names.is_empty() { "no joins yet".to_owned() } else { names.join(", ") };
    let mut out = std::io::stdout().lock();
    writeln!(out, "millpond: serving {names} on {url}")?;
    out.flush()?;
    edge::notify("READY=1");
    if service.joins().is_empty() {
        tracing::info!("there are no joins: `millpond join add JOIN.toml --server {url}` adds one");
    }
    Ok(())
}

/// Closes the joins, so that the next start has nothing to read again. What takes too long for that,
/// such as a rebuild, is given up: nothing acknowledged is lost by it.
async fn stop(service: Arc<Service>, wait: Duration) -> Result<ExitCode> {
    tracing::info!("closing the joins");
    let Some(stopped) = within(wait, move || service.stop()).await? else {
        tracing::warn!(
            "stopped while a join was still at work; nothing acknowledged is lost, and the next start reads its log"
        );
        return Ok(ExitCode::SUCCESS);
    };
    if let Err(refused) = stopped {
        bail!("stopped, but not all could be flushed; nothing acknowledged is lost: {refused}");
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What work that blocks gave, if it ended in time; it goes on otherwise.
async fn within<R: Send + 'static>(wait: Duration, work: impl FnOnce() -> R + Send + 'static) -> Result<Option<R>> {
    match timeout(wait, tokio::task::spawn_blocking(work)).await {
        Ok(done) => Ok(Some(done?)),
        Err(_) => Ok(None),
    }
}

/// What the server is to those who ask it.
fn state(args: &Serve, service: &Arc<Service>, access: Arc<Access>, stopping: watch::Receiver<bool>) -> Arc<State> {
    let limits = Limits {
        body_bytes_max: args.limits.body_bytes_max as usize,
        events_max: args.limits.events_max as usize,
        inflight_bytes_max: args.limits.inflight_bytes_max as usize,
    };
    // Whoever listens further, without tokens, knows best by which names the server is called.
    let hosts = if args.listen.ip().is_loopback() { Hosts::loopback(args.listen) } else { Hosts::Any };
    let page = Page::new(args.try_it.as_deref());
    State::new(Arc::clone(service), access, limits, hosts, page, clock, stopping)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A stop waited for as long as a rebuild, a verification or an erasure took.
    #[tokio::test]
    async fn closing_is_waited_for_and_not_for_ever() {
        let done = within(Duration::from_secs(60), || 7).await.expect("it did not panic");
        assert_eq!(done, Some(7));
        let (end, ended) = mpsc::channel::<()>();
        let done = within(Duration::ZERO, move || ended.recv().is_ok()).await.expect("it did not panic");
        assert_eq!(done, None);
        drop(end);
    }
}
