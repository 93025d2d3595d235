//! `millpond put`: files of events, or standard input, to a server.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use millpond_client::To;
use serde::Serialize;

use super::files::Input;
use super::place::Server;
use super::sending::{Sending, Sent};
use crate::cli::remote::Put;
use crate::output::{counted, counts, grouped, stdout};

/// What is printed with `--json`.
#[derive(Serialize)]
struct Summary {
    received: u64,
    accepted: u64,
    duplicate: u64,
    late: u64,
    quarantined: u64,
    ignored: u64,
    not_sent: u64,
    seconds: f64,
    events_per_second: u64,
}

pub(super) fn put(args: Put) -> Result<ExitCode> {
    let inputs = args.files.iter().map(|path| Input::open(path)).collect::<Result<Vec<_>>>()?;
    let started = Instant::now();
    let server = Server::patient(&args.server, args.retry_seconds)?;
    let sending = Sending {
        server: &server,
        to: args.join.clone().map_or(To::All, To::Join),
        batch: args.batch as usize,
        fill: args.fill,
    };
    let Sent { taken, broken } = sending.run(inputs)?;
    let seconds = started.elapsed().as_secs_f64();
    let summary = Summary {
        received: taken.received,
        accepted: taken.accepted,
        duplicate: taken.duplicate,
        late: taken.late,
        quarantined: taken.quarantined,
        ignored: taken.ignored,
        not_sent: broken,
        seconds,
        events_per_second: (taken.received as f64 / seconds.max(1e-9)) as u64,
    };
    print(&summary, &args)?;
    if broken > 0 {
        let pieces = counted(broken, "piece was no event and was", "pieces were no events and were");
        eprintln!("millpond: {pieces} not sent: mend the files and put them again; what was sent is a duplicate then");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(summary: &Summary, args: &Put) -> Result<()> {
    let mut out = stdout();
    if args.json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    let to = args.join.as_deref().unwrap_or("all joins");
    let (received, rate) = (grouped(summary.received), grouped(summary.events_per_second));
    writeln!(out, "{to}: {received} events received in {:.1} s ({rate} events/s)", summary.seconds)?;
    let plain = |name, count| (name, count, String::new());
    let look = |what: &str, count: u64| match count {
        0 => String::new(),
        _ => format!(
            "see: millpond {what} list {} --server {}",
            args.join.as_deref().unwrap_or("JOIN"),
            args.server.server
        ),
    };
    let rows = [
        plain("accepted", summary.accepted),
        plain("duplicate", summary.duplicate),
        ("late", summary.late, look("late", summary.late)),
        ("quarantined", summary.quarantined, look("quarantine", summary.quarantined)),
        plain("ignored", summary.ignored),
    ];
    counts(&mut out, &rows)?;
    Ok(out.flush()?)
}
