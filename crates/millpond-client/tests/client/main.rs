//! The client against a server that does as it is told.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

mod changes;
mod fake;
mod requests;
