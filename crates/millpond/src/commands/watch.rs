//! `millpond watch`: the changes of views, as they happen.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use futures_util::TryStreamExt;
use millpond_client::wire::Change;
use millpond_client::{ChangeEvent, Changes, Since};

use super::place::Server;
use crate::cli::remote::Watch;
use crate::output::{one_line, stdout};

/// How long the first connection is tried; later ones are without end.
const FIRST_SECONDS: u64 = 10;

pub(super) fn watch(args: Watch) -> Result<ExitCode> {
    let server = Server::patient(&args.server, FIRST_SECONDS)?;
    let from = if args.from_start { Since::Start } else { Since::Now };
    let which = Changes { key: args.key.clone(), prefix: args.prefix.clone(), from };
    server.runtime.block_on(async {
        let mut changes = std::pin::pin!(server.client.changes(&args.join, which));
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            let event = tokio::select! {
                event = changes.try_next() => event?,
                _ = &mut interrupted => None,
            };
            match event {
                Some(event) => print(&args, event)?,
                None => return Ok(ExitCode::SUCCESS),
            }
        }
    })
}

fn print(args: &Watch, event: ChangeEvent) -> Result<()> {
    let mut out = stdout();
    match event {
        ChangeEvent::Reset if args.json => writeln!(out, "{{\"reset\":true}}")?,
        ChangeEvent::Reset => eprintln!("millpond: keys were erased or views made anew meanwhile; all views follow"),
        ChangeEvent::Change { change, .. } if args.json => {
            writeln!(out, "{}", one_line(&serde_json::to_string(&change)?))?;
        }
        ChangeEvent::Change { change: Change { key, document, .. }, .. } => match document {
            Some(document) => writeln!(out, "{key} {}", one_line(document.get()))?,
            None => writeln!(out, "{key} erased")?,
        },
    }
    Ok(out.flush()?)
}
