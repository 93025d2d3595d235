//! `millpond`: joins files of events into durable views, and answers what is in them.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod exit;
mod input;
mod output;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
