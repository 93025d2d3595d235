//! `millpond rebuild`, and what every command does that meets a changed definition.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_client::wire;
use millpond_core::Join;
use millpond_store::{DataFolder, Options, Rebuilt, Store};

use super::place::Place;
use super::{definition, tell_torn};
use crate::cli::Rebuild;
use crate::output::{counted, grouped, stdout};

pub(super) fn rebuild(args: &Rebuild) -> Result<ExitCode> {
    let join = definition(&args.definition)?;
    let name = join.name().to_owned();
    let rebuilt = match Place::open(&args.target)? {
        Place::Folder(folder) => in_folder(args, &folder, join)?,
        Place::Server(server) => {
            let allowed = millpond_client::Rebuild { rebuild: true, drop_unnamed: args.drop_unnamed };
            server.wait(server.client.join(&name))?; // a rebuild makes no new join
            server.wait(server.client.put_join(&name, join.source_text(), allowed))?.rebuilt
        }
    };
    let mut out = stdout();
    match (rebuilt, args.target.json) {
        (None, true) => writeln!(out, "{{\"rebuilt\":false}}")?,
        (None, false) => writeln!(out, "{name}: the stored views are what this definition makes")?,
        (Some(done), true) => writeln!(
            out,
            "{{\"rebuilt\":true,\"rows\":{},\"accepted\":{},\"ignored\":{},\"quarantined\":{}}}",
            done.rows, done.accepted, done.ignored, done.quarantined
        )?,
        (Some(done), false) => writeln!(out, "{}", told(&name, &done))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn in_folder(args: &Rebuild, folder: &DataFolder, join: Join) -> Result<Option<wire::Rebuilt>> {
    let (store, opened) = Store::open(folder, join.name(), Options::default())?;
    tell_torn(&opened);
    let (store, rebuilt) = if store.serves(&join) {
        drop(store);
        (Store::open_or_create(folder, join, Options::default())?.0, None)
    } else {
        let (store, rebuilt) = store.rebuild(folder, join, args.drop_unnamed, |_| {})?;
        (store, Some(wire_of(&rebuilt)))
    };
    store.close()?;
    Ok(rebuilt)
}

/// Opens the join of a definition, rebuilding it first if the stored one makes other views.
pub(super) fn open_under(folder: &DataFolder, join: Join, options: Options) -> Result<Store> {
    let asked = Join::parse(join.source_text())?;
    let (store, opened) = Store::open_or_create(folder, join, options)?;
    tell_torn(&opened);
    if store.serves(&asked) {
        return Ok(store);
    }
    let (store, done) = store.rebuild(folder, asked, false, |_| {})?;
    eprintln!("millpond: the definition has changed; {}", told(store.join().name(), &wire_of(&done)));
    Ok(store)
}

fn wire_of(done: &Rebuilt) -> wire::Rebuilt {
    let Rebuilt { rows, accepted, ignored, quarantined } = *done;
    wire::Rebuilt { rows, accepted, ignored, quarantined }
}

fn told(name: &str, done: &wire::Rebuilt) -> String {
    let rows = counted(done.rows, "stored event", "stored events");
    let mut text = format!("{name}: {rows} joined anew");
    if done.ignored > 0 {
        text += &format!("; {} of types that the definition no longer names are gone", grouped(done.ignored));
    }
    if done.quarantined > 0 {
        text += &format!("; {} without a key under it are in quarantine", grouped(done.quarantined));
    }
    text
}
