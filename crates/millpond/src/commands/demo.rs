//! `millpond demo`.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::remote::Demo;

pub(super) fn demo(_args: &Demo) -> Result<ExitCode> {
    anyhow::bail!("soon")
}
