//! The tokens of a data folder: `tokens.toml`, which has their hashes only. It is written by the
//! `token` commands and read by the server; neither waits for the other.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Scope;
use crate::exit::NotFound;

const FILE: &str = "tokens.toml";
/// Held while the file is changed.
const LOCK_FILE: &str = "tokens.lock";
const VERSION: u32 = 1;
/// What a token begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "mp_";
const TOKEN_BYTES: usize = 32;
const ID_BYTES: usize = 4;
/// Of one name: one in use, and the one that replaces it.
const TOKENS_A_NAME: usize = 2;
const TOKENS_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 64;

/// The live tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Vec<Token>);

/// A token, as it is known to those who do not have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    /// Milliseconds since 1970 UTC.
    pub(crate) created: u64,
    #[serde(skip)]
    sha256: [u8; 32],
}

/// A new token; the only place where its secret is.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) token: Token,
    pub(crate) secret: String,
}

/// By which a change of the file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Tokens {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// How the file looks from outside; none if there is none.
    pub(crate) fn stamp(dir: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(Self::path(dir)).ok()?;
        Some(Stamp { modified: metadata.modified().ok(), bytes: metadata.len(), inode: metadata.ino() })
    }

    /// The tokens, and the stamp of the file or of an earlier one; without a file there are none.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub(crate) fn read(dir: &Path) -> Result<(Self, Option<Stamp>)> {
        let (path, stamp) = (Self::path(dir), Self::stamp(dir));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Self::default(), None)),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let damaged = || {
            format!(
                "{} is damaged; restore it, or remove it and make the tokens anew with `millpond token add`",
                path.display()
            )
        };
        Ok((parse(&text).with_context(damaged)?, stamp))
    }

    /// Makes a token and stores its hash.
    ///
    /// # Errors
    /// If the name is not usable or has its tokens already, or the file cannot be written.
    pub(crate) fn add(dir: &Path, name: &str, scopes: &[Scope], now: u64) -> Result<Added> {
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        ensure!(
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(usable),
            "`{name}` cannot be a token's name: letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} of them"
        );
        change(dir, |tokens| {
            let mut same: Vec<&Token> = tokens.0.iter().filter(|token| token.name == name).collect();
            same.sort_by_key(|token| token.created);
            if let [oldest, _, ..] = same[..] {
                bail!(
                    "`{name}` has {TOKENS_A_NAME} tokens already: remove the one that is no longer used, the older is `millpond token remove {}`",
                    oldest.id
                );
            }
            ensure!(tokens.0.len() < TOKENS_MAX, "there are {TOKENS_MAX} tokens already: remove some");
            let secret = PREFIX.to_owned() + &hex(&random::<TOKEN_BYTES>()?);
            let id = loop {
                let id = hex(&random::<ID_BYTES>()?);
                if !tokens.0.iter().any(|token| token.id == id || token.name == id) {
                    break id;
                }
            };
            let mut scopes = scopes.to_vec();
            scopes.sort();
            scopes.dedup();
            let token = Token { id, name: name.to_owned(), scopes, created: now, sha256: hash(&secret) };
            tokens.0.push(token.clone());
            Ok(Added { token, secret })
        })
    }

    /// Removes one token by its id, or all of a name; those that are gone, and how many are left.
    ///
    /// # Errors
    /// [`NotFound`], or if the file cannot be written.
    pub(crate) fn remove(dir: &Path, id_or_name: &str) -> Result<(Vec<Token>, usize)> {
        change(dir, |tokens| {
            let by_id = tokens.0.iter().any(|token| token.id == id_or_name);
            let meant = |token: &Token| if by_id { token.id == id_or_name } else { token.name == id_or_name };
            let (gone, left) = std::mem::take(&mut tokens.0).into_iter().partition(meant);
            tokens.0 = left;
            if gone.is_empty() {
                let told =
                    format!("there is no token with the id or name `{id_or_name}`; `millpond token list` shows all");
                return Err(NotFound(told).into());
            }
            Ok((gone, tokens.0.len()))
        })
    }

    /// What a token allows; every live one is compared in full, so that the time tells nothing.
    pub(crate) fn scopes_of(&self, secret: &str) -> Option<&[Scope]> {
        let hash = hash(secret);
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.sha256.ct_eq(&hash)) {
                found = Some(&token.scopes[..]);
            }
        }
        found
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Changes the file as a whole, one process after the other.
fn change<R>(dir: &Path, change: impl FnOnce(&mut Tokens) -> Result<R>) -> Result<R> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the data folder {}", dir.display()))?;
    let path = dir.join(LOCK_FILE);
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = lock.with_context(|| format!("cannot write {}", path.display()))?;
    let _ = belongs_as(&lock, dir);
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    let (mut tokens, _) = Tokens::read(dir)?;
    let done = change(&mut tokens)?;
    write(dir, &tokens)?;
    Ok(done)
}

/// A crash leaves either the old file or the new.
fn write(dir: &Path, tokens: &Tokens) -> Result<()> {
    let (path, temporary) = (Tokens::path(dir), dir.join("tokens.new"));
    let _ = fs::remove_file(&temporary); // a crash's; it might have another mode
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        belongs_as(&file, dir)?;
        file.write_all(text(tokens).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// What root writes into the folder of a service must be the service's.
fn belongs_as(file: &File, dir: &Path) -> std::io::Result<()> {
    let (owner, now) = (fs::metadata(dir)?, file.metadata()?);
    if rustix::process::geteuid().is_root() && (owner.uid(), owner.gid()) != (now.uid(), now.gid()) {
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn text(Tokens(tokens): &Tokens) -> String {
    let mut text =
        format!("# Who may use this data folder's server. Written by `millpond token`.\nversion = {VERSION}\n");
    for Token { id, name, scopes, created, sha256 } in tokens {
        let scopes = scopes.iter().map(|scope| format!("\"{}\"", scope.name())).collect::<Vec<_>>().join(", ");
        let hash = hex(sha256);
        // Names and ids have no character that would have to be escaped.
        write!(
            text,
            "\n[[token]]\nid = \"{id}\"\nname = \"{name}\"\nscopes = [{scopes}]\ncreated = {created}\nsha256 = \"{hash}\"\n"
        )
        .expect("a text takes everything");
    }
    text
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    #[serde(default)]
    token: Vec<WrittenToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    created: u64,
    sha256: String,
}

fn parse(text: &str) -> Result<Tokens> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = toml::from_str(text)?; // first: a newer file may have other fields
    ensure!(version <= VERSION, "it has version {version}, this millpond knows up to {VERSION}: use a newer one");
    let Written { version, token: written } = toml::from_str(text)?;
    ensure!(version == VERSION, "there is no version {version}");
    let token = |WrittenToken { id, name, scopes, created, sha256 }: WrittenToken| {
        let sha256 = unhex(&sha256).with_context(|| format!("the sha256 of token `{id}` is not 64 hex digits"))?;
        Ok(Token { id, name, scopes, created, sha256 })
    };
    Ok(Tokens(written.into_iter().map(token).collect::<Result<_>>()?))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("the system gives no random bytes"),
        }
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
