//! `millpond token`: makes, lists and removes the tokens of a data folder, beside a running server.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::clock;
use crate::access::{Added, Scope, Tokens};
use crate::cli::serve::{Token, TokenAdd, TokenData, TokenRemove};
use crate::output::{counted, stdout, utc};

pub(super) fn token(command: &Token) -> Result<ExitCode> {
    match command {
        Token::Add(args) => add(args),
        Token::List(args) => list(args),
        Token::Remove(args) => remove(args),
    }
}

fn add(TokenAdd { name, scopes, at }: &TokenAdd) -> Result<ExitCode> {
    let Added { token, secret } = Tokens::add(&at.data, name, scopes, clock())?;
    let mut out = stdout();
    if at.json {
        writeln!(out, "{}", json!({"id": token.id, "name": token.name, "scopes": token.scopes, "token": secret}))?;
    } else {
        // The token alone on standard output, for `TOKEN=$(millpond token add …)`.
        eprintln!("token {} of `{name}` may {}; it is not shown again:", token.id, listed(&token.scopes));
        writeln!(out, "{secret}")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn list(at: &TokenData) -> Result<ExitCode> {
    let (tokens, _) = Tokens::read(&at.data)?;
    let mut out = stdout();
    for token in tokens.iter() {
        match at.json {
            true => writeln!(out, "{}", serde_json::to_string(token)?)?,
            false => writeln!(out, "{}  {}  {}  {}", token.id, utc(token.created), token.name, listed(&token.scopes))?,
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn remove(TokenRemove { token, at }: &TokenRemove) -> Result<ExitCode> {
    let (gone, left) = Tokens::remove(&at.data, token)?;
    let mut out = stdout();
    if at.json {
        writeln!(out, "{}", json!({"removed": gone, "left": left}))?;
    } else {
        writeln!(
            out,
            "removed {}; a running server notices within a second",
            counted(gone.len() as u64, "token", "tokens")
        )?;
        if left == 0 {
            writeln!(out, "none is left: a running server lets nobody in; one that starts now has no access control")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn listed(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ")
}
