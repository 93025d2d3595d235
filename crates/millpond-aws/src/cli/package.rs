//! `package`: the program and the definition, as Lambda takes them. The same two are the same bytes.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use millpond_core::{Faults, Join};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::environment::DEFINITION;

/// What an architecture is called in an ELF header.
const MACHINE: std::ops::Range<usize> = 18..20;
/// The best that deflate does.
const COMPRESSION: i64 = 9;

/// What Lambda runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    Arm64,
    X86_64,
}

/// A definition that is none.
#[derive(Debug, thiserror::Error)]
#[error("{} is wrong:\n{faults}", .file.display())]
pub(super) struct WrongDefinition {
    file: PathBuf,
    faults: Faults,
}

/// The parts of a package.
#[derive(Args)]
pub(super) struct Parts {
    /// The definition
    #[arg(value_name = "JOIN.toml")]
    pub(super) definition: PathBuf,
    /// The program `bootstrap`; the one beside this program if absent
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Package {
    #[command(flatten)]
    parts: Parts,
    /// Where to write it
    #[arg(long, value_name = "FILE", default_value = "millpond-aws.zip")]
    out: PathBuf,
}

/// A package.
pub(super) struct Made {
    pub(super) join: Join,
    pub(super) architecture: Architecture,
    pub(super) bytes: Vec<u8>,
}

impl Architecture {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    fn of(program: &[u8]) -> Option<Self> {
        let machine = program.starts_with(b"\x7fELF").then(|| program.get(MACHINE))??;
        match machine {
            [183, 0] => Some(Self::Arm64),
            [62, 0] => Some(Self::X86_64),
            _ => None,
        }
    }
}

impl Package {
    pub(super) fn make(&self) -> Result<()> {
        let Made { join, architecture, bytes } = self.parts.make()?;
        fs::write(&self.out, &bytes).with_context(|| format!("writing {}", self.out.display()))?;
        let (out, architecture) = (self.out.display(), architecture.name());
        println!("{out}: {} bytes, for the join {} on {architecture}", bytes.len(), join.name());
        Ok(())
    }
}

impl Parts {
    pub(super) fn make(&self) -> Result<Made> {
        let text =
            fs::read_to_string(&self.definition).with_context(|| format!("reading {}", self.definition.display()))?;
        let fault = |faults: Faults| WrongDefinition { file: self.definition.clone(), faults };
        let join = Join::parse(&text).map_err(fault)?;
        let path = self.bootstrap_path()?;
        let program = fs::read(&path).with_context(|| {
            let path = path.display();
            format!("reading the program {path}: build it with `cargo build --profile lambda -p millpond-aws`, or give --bootstrap FILE")
        })?;
        let architecture = Architecture::of(&program)
            .with_context(|| format!("{} is no program for Linux on arm64 or x86_64", path.display()))?;
        Ok(Made { join, architecture, bytes: zipped(&program, &text)? })
    }

    fn bootstrap_path(&self) -> Result<PathBuf> {
        match &self.bootstrap {
            Some(path) => Ok(path.clone()),
            None => Ok(std::env::current_exe().context("where is this program?")?.with_file_name("bootstrap")),
        }
    }
}

fn zipped(program: &[u8], definition: &str) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(COMPRESSION))
        .last_modified_time(zip::DateTime::default());
    zip.start_file("bootstrap", options.unix_permissions(0o755))?;
    zip.write_all(program)?;
    zip.start_file(DEFINITION, options.unix_permissions(0o644))?;
    zip.write_all(definition.as_bytes())?;
    Ok(zip.finish()?.into_inner())
}

/// Where a package lies in its bucket: by what is in it.
pub(super) fn object(stack: &str, bytes: &[u8]) -> String {
    format!("{stack}/{:032x}.zip", xxhash_rust::xxh3::xxh3_128(bytes))
}

/// Where the definition of a package lies.
pub(super) fn definition_object(package: &str) -> String {
    Path::new(package).with_extension("toml").display().to_string()
}
