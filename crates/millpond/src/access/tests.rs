//! Tokens on disk and in requests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

fn header(token: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("Bearer {token}")).unwrap()
}

#[test]
fn a_token_allows_its_scopes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Added { secret, .. } = Tokens::add(dir.path(), "shop", &[Scope::Admin, Scope::Ingest], 7).unwrap();
    let access = Access::open(dir.path()).unwrap();
    assert!(access.is_guarded() && secret.starts_with("mp_") && secret.len() == 3 + 64);
    for (authorization, scope, right) in [
        (Some(header(&secret)), Scope::Ingest, Decision::Allowed),
        (Some(header(&secret)), Scope::Admin, Decision::Allowed),
        (Some(header(&secret)), Scope::Read, Decision::Lacks(Scope::Read)),
        (Some(HeaderValue::from_str(&format!("bearer  {secret}")).unwrap()), Scope::Admin, Decision::Allowed),
        (Some(HeaderValue::from_str(&secret).unwrap()), Scope::Admin, Decision::Unknown),
        (Some(HeaderValue::from_str(&format!("Basic {secret}")).unwrap()), Scope::Admin, Decision::Unknown),
        (Some(header(&secret[..secret.len() - 1])), Scope::Ingest, Decision::Unknown),
        (Some(header("")), Scope::Ingest, Decision::Unknown),
        (None, Scope::Ingest, Decision::Unknown),
    ] {
        assert_eq!(access.decide(authorization.as_ref(), scope), right, "{authorization:?} for {scope:?}");
    }
}

#[test]
fn the_file_has_no_secret_and_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let Added { token, secret } = Tokens::add(dir.path(), "shop", &[Scope::Read, Scope::Read], 7).unwrap();
    let path = Tokens::path(dir.path());
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&secret[3..]) && text.contains("version = 1"), "{text}");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(token.scopes, [Scope::Read]);
    let (tokens, _) = Tokens::read(dir.path()).unwrap();
    assert_eq!(tokens.iter().collect::<Vec<_>>(), [&token]);
}

#[test]
fn a_name_has_two_tokens_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let add = |now| Tokens::add(dir.path(), "shop", &[Scope::Ingest], now);
    let (first, second) = (add(1).unwrap(), add(2).unwrap());
    let refused = add(3).unwrap_err().to_string();
    assert!(refused.contains(&first.token.id), "{refused}");
    assert_eq!(Tokens::remove(dir.path(), &first.token.id).unwrap(), (vec![first.token], 1));
    add(4).unwrap();
    assert_eq!(Tokens::remove(dir.path(), "shop").unwrap().0.len(), 2);
    assert!(Tokens::remove(dir.path(), "shop").unwrap_err().downcast_ref::<crate::exit::NotFound>().is_some());
    let (tokens, _) = Tokens::read(dir.path()).unwrap();
    assert!(tokens.scopes_of(&second.secret).is_none());
}

/// The file as version 1 writes it: it must be read for ever.
#[test]
fn a_file_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(Tokens::path(dir.path()), include_str!("tokens-1.toml")).unwrap();
    let (tokens, _) = Tokens::read(dir.path()).unwrap();
    let secret = format!("mp_{}", "0".repeat(64));
    assert_eq!(tokens.scopes_of(&secret), Some(&[Scope::Ingest, Scope::Read][..]));
}

#[test]
fn damaged_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let whole = include_str!("tokens-1.toml");
    for (text, says) in [
        ("", "version"),
        ("version = 2", "version 2"),
        ("version = 0", "version 0"),
        ("version = 1\nother = 1", "other"),
        (&whole[..whole.len() - 10], "TOML"),
        (&whole.replace("read", "write"), "write"),
        (&whole.replace("sha256 = \"", "sha256 = \"0"), "sha256"),
    ] {
        fs::write(Tokens::path(dir.path()), text).unwrap();
        let error = format!("{:#}", Access::open(dir.path()).unwrap_err());
        assert!(error.contains("is damaged") && error.contains(says), "{text}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_server_notices_changes_and_never_opens_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::open(dir.path()).unwrap();
    assert!(!access.is_guarded());
    assert_eq!(access.decide(None, Scope::Admin), Decision::Allowed);
    let first = Tokens::add(dir.path(), "shop", &[Scope::Ingest], 1).unwrap();
    let decide = async |secret: &str| {
        tokio::time::advance(Duration::from_secs(1)).await;
        access.decide(Some(&header(secret)), Scope::Ingest)
    };
    assert_eq!(decide("mp_0").await, Decision::Unknown);
    let second = Tokens::add(dir.path(), "shop", &[Scope::Ingest], 2).unwrap();
    assert_eq!(decide(&first.secret).await, Decision::Allowed);
    assert_eq!(decide(&second.secret).await, Decision::Allowed);
    Tokens::remove(dir.path(), &first.token.id).unwrap();
    assert_eq!(decide(&first.secret).await, Decision::Unknown);

    let path = Tokens::path(dir.path());
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, "version =").unwrap();
    assert_eq!(decide(&second.secret).await, Decision::Allowed);
    fs::remove_file(&path).unwrap();
    assert_eq!(decide(&second.secret).await, Decision::Allowed);
    assert_eq!(decide("mp_0").await, Decision::Unknown);
    fs::write(&path, good).unwrap();
    Tokens::remove(dir.path(), "shop").unwrap();
    assert_eq!(decide(&second.secret).await, Decision::Unknown);
}

/// A read that failed once was taken for done: a token that had been removed was good until the next change.
#[tokio::test(start_paused = true)]
async fn a_file_that_could_not_be_read_is_read_later_though_it_looks_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let removed = Tokens::add(dir.path(), "shop", &[Scope::Ingest], 1).unwrap();
    let access = Access::open(dir.path()).unwrap();
    let path = Tokens::path(dir.path());
    let moment = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
    let decide_after = async |text: &str| {
        fs::write(&path, text).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(moment).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        access.decide(Some(&header(&removed.secret)), Scope::Ingest)
    };
    let others = include_str!("tokens-1.toml");
    assert_eq!(decide_after(&"?".repeat(others.len())).await, Decision::Allowed);
    assert_eq!(decide_after(others).await, Decision::Unknown);
}
