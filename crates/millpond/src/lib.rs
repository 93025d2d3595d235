//! `millpond`: joins events into durable views, from files or as a server, and answers what is in
//! them. As a library it is the [`Client`] of such a server.
#![forbid(unsafe_code)]

mod access;
mod cli;
mod commands;
mod edge;
mod exit;
mod http;
mod input;
mod output;
mod service;
mod watched;

use std::process::ExitCode;

use clap::Parser;
pub use millpond_client::*;

/// What fuzz targets reach for, and nobody else.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::http::fuzzing as http;
    pub use crate::input::fuzzing as input;
}

/// The command line's `main`.
#[doc(hidden)]
#[must_use]
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
