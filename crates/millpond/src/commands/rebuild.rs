//! `millpond rebuild`, and what every command does that meets a changed definition.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use millpond_core::Join;
use millpond_store::{DataFolder, Options, Rebuilt, Store};

use super::{definition, tell_torn};
use crate::cli::Rebuild;
use crate::output::{counted, grouped, stdout};

pub(super) fn rebuild(args: &Rebuild) -> Result<ExitCode> {
    let join = definition(&args.definition)?;
    let folder = DataFolder::open(&args.data.data)?;
    let (store, opened) = Store::open(&folder, join.name(), Options::default())?;
    tell_torn(&opened);
    let (store, rebuilt) = if store.serves(&join) {
        drop(store);
        (Store::open_or_create(&folder, join, Options::default())?.0, None)
    } else {
        let (store, rebuilt) = store.rebuild(&folder, join, args.drop_unnamed, |_| {})?;
        (store, Some(rebuilt))
    };
    let mut out = stdout();
    match (rebuilt, args.data.json) {
        (None, true) => writeln!(out, "{{\"rebuilt\":false}}")?,
        (None, false) => writeln!(out, "{}: the stored views are what this definition makes", store.join().name())?,
        (Some(done), true) => writeln!(
            out,
            "{{\"rebuilt\":true,\"rows\":{},\"accepted\":{},\"ignored\":{},\"quarantined\":{}}}",
            done.rows, done.accepted, done.ignored, done.quarantined
        )?,
        (Some(done), false) => writeln!(out, "{}", told(store.join(), &done))?,
    }
    out.flush()?;
    store.close()?;
    Ok(ExitCode::SUCCESS)
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
    eprintln!("millpond: the definition has changed; {}", told(store.join(), &done));
    Ok(store)
}

fn told(join: &Join, done: &Rebuilt) -> String {
    let rows = counted(done.rows, "stored event", "stored events");
    let mut text = format!("{}: {rows} joined anew", join.name());
    if done.ignored > 0 {
        text += &format!("; {} of types that the definition no longer names are gone", grouped(done.ignored));
    }
    if done.quarantined > 0 {
        text += &format!("; {} without a key under it are in quarantine", grouped(done.quarantined));
    }
    text
}
