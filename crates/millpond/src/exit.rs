//! Exit codes, so that a script can tell apart what went wrong.

use std::process::ExitCode;

use millpond_core::Faults;
use millpond_store::Error;

use crate::output::{ReaderLeft, counted};

/// Something failed.
const FAILED: u8 = 1;
/// The command line (by clap) or the definition is wrong.
pub(crate) const WRONG: u8 = 2;
/// `verify` found differences.
pub(crate) const DIFFERENT: u8 = 3;
/// The join, key or entry is not there.
pub(crate) const NOT_FOUND: u8 = 4;
/// Another process has the data folder.
const IN_USE: u8 = 5;
/// The definition changed, and a rebuild would lose something.
const INCOMPLETE: u8 = 6;

/// A definition's faults, with its file's name on each, as compilers print them.
#[derive(Debug)]
pub(crate) struct BadDefinition {
    pub(crate) path: String,
    pub(crate) faults: Faults,
}

impl std::fmt::Display for BadDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Faults(faults) = &self.faults;
        let count = counted(faults.len() as u64, "fault", "faults");
        write!(f, "{} is not a valid definition: {count}", self.path)?;
        for fault in faults {
            write!(f, "\n  {}:{}:{}: {}", self.path, fault.line, fault.column, fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for BadDefinition {}

/// What was asked for is not there.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) String);

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// The command line asks for what cannot or must not be done.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// A definition makes other views than the stored ones, and nobody said that they may be made anew.
#[derive(Debug)]
pub(crate) struct NeedsRebuild(pub(crate) String);

impl std::fmt::Display for NeedsRebuild {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NeedsRebuild {}

/// Says what went wrong on standard error, and with which code to end.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if reader_left(error) {
        return ExitCode::SUCCESS; // `millpond view … | head`: the reader has enough
    }
    eprintln!("millpond: {}", told(error));
    ExitCode::from(code(error))
}

/// Whether nothing is wrong but that nobody reads the output any more.
pub(crate) fn reader_left(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<ReaderLeft>())
}

/// The causes from the outside in; one that a message before it has quoted is not said twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

fn code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<NotFound>().is_some() {
        return NOT_FOUND;
    }
    if error.downcast_ref::<BadDefinition>().is_some() || error.downcast_ref::<Wrong>().is_some() {
        return WRONG;
    }
    if error.downcast_ref::<NeedsRebuild>().is_some() {
        return INCOMPLETE;
    }
    if let Some(error) = error.downcast_ref::<millpond_client::Error>() {
        return code_of_answer(error);
    }
    match error.downcast_ref::<Error>() {
        Some(Error::NoJoin { .. } | Error::NoData { .. }) => NOT_FOUND,
        Some(Error::InUse { .. }) => IN_USE,
        Some(Error::Incomplete { .. } | Error::WouldDrop { .. }) => INCOMPLETE,
        _ => FAILED,
    }
}

/// What a server refuses ends as it does on a data folder.
fn code_of_answer(error: &millpond_client::Error) -> u8 {
    match error {
        millpond_client::Error::Invalid(_) => WRONG,
        error => match error.word() {
            Some("not-found") => NOT_FOUND,
            Some("invalid-definition" | "bad-request") => WRONG,
            Some("definition-changed") => INCOMPLETE,
            _ => FAILED,
        },
    }
}
