//! `millpond join`: which joins a server serves.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire::{JoinInfo, JoinState};
use millpond_client::{Rebuild, Stored};

use super::definition;
use super::place::Server;
use crate::cli::remote::{Join, JoinAdd, JoinList, JoinRemove};
use crate::cli::target::AtServer;
use crate::exit::NeedsRebuild;
use crate::output::{counted, stdout};

pub(super) fn join(command: &Join) -> Result<ExitCode> {
    match command {
        Join::List(args) => list(args),
        Join::Add(args) => add(args),
        Join::Remove(args) => remove(args),
    }
}

fn at(server: &AtServer) -> Result<Server> {
    Server::at(&server.server, &server.credentials)
}

fn list(args: &JoinList) -> Result<ExitCode> {
    let server = at(&args.server)?;
    let joins: Vec<JoinInfo> = server.wait(server.client.joins())?;
    let mut out = stdout();
    for join in &joins {
        if args.json {
            serde_json::to_writer(&mut out, join)?;
            writeln!(out)?;
            continue;
        }
        let state = match join.state {
            JoinState::Serving => "serving",
            JoinState::Rebuilding => "rebuilding",
            JoinState::Stopped => "stopped",
        };
        let types = counted(join.types.len() as u64, "event type", "event types");
        let fields = counted(join.fields.len() as u64, "field", "fields");
        writeln!(out, "{}: {state}, {types}, {fields}", join.name)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn add(args: &JoinAdd) -> Result<ExitCode> {
    let join = definition(&args.definition)?;
    let server = at(&args.server)?;
    let file = args.definition.display().to_string();
    let created = put_definition(&server, &join, &file)?;
    let mut out = stdout();
    match (args.json, created) {
        (true, _) => writeln!(out, "{{\"created\":{created}}}")?,
        (false, true) => writeln!(out, "{}: is served", join.name())?,
        (false, false) => writeln!(out, "{}: was served already, and makes the same views", join.name())?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Has a server serve a definition, if that changes no views; whether it is new there.
pub(super) fn put_definition(server: &Server, join: &millpond_core::Join, file: &str) -> Result<bool> {
    let put = server.wait(server.client.put_join(join.name(), join.source_text(), Rebuild::default()));
    let changed = |error: &anyhow::Error| {
        error.downcast_ref::<millpond_client::Error>().and_then(|error| error.word()) == Some("definition-changed")
    };
    match put {
        Ok(put) => Ok(put.created),
        Err(error) if changed(&error) => Err(NeedsRebuild(format!(
            "the definition of `{}` makes other views than the one that is served: `millpond rebuild {file} --server {}` makes them anew",
            join.name(),
            server.client.url()
        ))
        .into()),
        Err(error) => Err(error),
    }
}

fn remove(args: &JoinRemove) -> Result<ExitCode> {
    let server = at(&args.server)?;
    let stored = if args.delete_data { Stored::Delete } else { Stored::Keep };
    server.wait(server.client.remove_join(&args.name, stored))?;
    let what = if args.delete_data { "its data is gone" } else { "its data is kept in the server's data folder" };
    let mut out = stdout();
    match args.json {
        true => writeln!(out, "{{\"removed\":true}}")?,
        false => writeln!(out, "{}: is no longer served; {what}", args.name)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
