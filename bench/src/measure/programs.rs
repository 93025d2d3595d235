//! The programs that are measured.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `millpond`.
    pub millpond: PathBuf,
    /// `millpond-bench`, which measures parts of Millpond in processes of their own.
    pub bench: PathBuf,
}

impl Programs {
    /// `bench` as it is, and beside it a `millpond` that is built anew if it is not of these sources.
    ///
    /// # Errors
    /// `millpond` cannot be built.
    pub fn beside(bench: &Path) -> anyhow::Result<Self> {
        let profile = bench.parent().context("the bench's program lies in no folder")?;
        let target = target_dir(bench)?;
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "millpond", "--target-dir"]).arg(target);
        if profile.file_name() == Some(OsStr::new("release")) {
            cargo.arg("--release");
        }
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("starting cargo")?;
        ensure!(status.success(), "millpond cannot be built: {status}");
        Ok(Self { millpond: profile.join("millpond"), bench: bench.to_owned() })
    }
}

/// The build's folder, of which a program lies in `release` or `debug`.
///
/// # Errors
/// The program lies in no such folder.
pub fn target_dir(program: &Path) -> anyhow::Result<&Path> {
    program.ancestors().nth(2).with_context(|| format!("{} is in no build's folder", program.display()))
}
