//! The quarantine: what is in it, trying again, and letting go.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use millpond_client::wire;
use millpond_store::{Error, QuarantineEntry, Retried, Store};

use super::pages::{Page, page};
use super::problem::Problem;
use super::query::Query;
use super::target::{OfEntry, OfJoin};
use super::{App, json};

/// Of an entry's bytes in a list; its own route gives all of them.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Entries handled before others get their turn with the store.
const STEP: usize = 16;

/// `GET /v1/quarantine/{join}`.
pub(super) async fn list(OfJoin(join): OfJoin, query: Query) -> Result<Response, Problem> {
    let (after, limit) = (query.text("after").map(str::to_owned), query.limit());
    let Page { entries, more } = join.run(move |store| read(store, after.as_deref(), limit)).await?;
    let next = entries.last().filter(|_| more).map(|entry| entry.id.clone());
    json(&wire::QuarantinePage { quarantine: entries, next })
}

/// Few at once where they are large. What was read counts, not what is shown of it: so a page takes
/// no longer than its entries are worth.
fn read(store: &Store, after: Option<&str>, limit: usize) -> Result<Page<wire::QuarantineEntry>, Error> {
    let bytes = |entry: &wire::QuarantineEntry| entry.bytes as usize;
    page(limit, bytes, |last, wanted| {
        let some = store.quarantine_page(last.map(|entry| entry.id.as_str()).or(after), wanted)?;
        Ok(some.into_iter().map(listed).collect())
    })
}

/// An entry as lists show it.
pub(crate) fn listed(QuarantineEntry { id, quarantined }: QuarantineEntry) -> wire::QuarantineEntry {
    let shown = beginning(&quarantined.bytes, TEXT_BYTES_MAX);
    wire::QuarantineEntry {
        id,
        reason: quarantined.rejection.reason.to_string(),
        detail: quarantined.rejection.detail,
        received_at: quarantined.at,
        bytes: quarantined.bytes.len() as u64,
        text: String::from_utf8_lossy(shown).into_owned(),
        truncated: shown.len() < quarantined.bytes.len(),
    }
}

/// The first bytes, without a part of a character at their end.
fn beginning(bytes: &[u8], max: usize) -> &[u8] {
    let continues = |end: &usize| bytes.get(*end).is_some_and(|byte| byte & 0xC0 == 0x80);
    let longest_character = 4;
    let end = (max.saturating_sub(longest_character - 1)..=max).rev().find(|end| !continues(end)).unwrap_or(max);
    &bytes[..end.min(bytes.len())]
}

/// `GET /v1/quarantine/{join}/{id}`: the bytes, as they were received.
pub(super) async fn one(OfEntry(join, id): OfEntry) -> Result<Response, Problem> {
    let missing = no_entry(join.name(), &id);
    let found = join.run(move |store| store.quarantined(&id)).await?.ok_or(missing)?;
    // Whatever somebody sent: no browser is to make anything of it.
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CONTENT_DISPOSITION, "attachment")];
    Ok((headers, found.bytes).into_response())
}

fn no_entry(join: &str, id: &str) -> Problem {
    let id: String = id.chars().take(64).collect();
    Problem::not_found(format!("the quarantine has no entry `{id}`; `GET /v1/quarantine/{join}` lists them"))
}

/// `POST /v1/quarantine/{join}/{id}/retry`.
pub(super) async fn retry_one(State(app): App, OfEntry(join, id): OfEntry) -> Result<Response, Problem> {
    let now = (app.clock)();
    let missing = no_entry(join.name(), &id);
    match join.run(move |store| store.retry_quarantined(&id, now)).await? {
        Retried::Left(_) => json(&wire::Retried { left: 1, stay: 0 }),
        Retried::Stays(_) => json(&wire::Retried { left: 0, stay: 1 }),
        Retried::Unknown => Err(missing),
    }
}

/// `POST /v1/quarantine/{join}/retry`.
pub(super) async fn retry_all(State(app): App, OfJoin(join): OfJoin) -> Result<Response, Problem> {
    let now = (app.clock)();
    let mut done = wire::Retried { left: 0, stay: 0 };
    let mut after: Option<String> = None;
    loop {
        let step = move |store: &Store| {
            let ids = ids(store, after.as_deref())?;
            let (mut left, mut stay) = (0, 0);
            for id in &ids {
                match store.retry_quarantined(id, now)? {
                    Retried::Left(_) => left += 1,
                    Retried::Stays(_) => stay += 1,
                    Retried::Unknown => {}
                }
            }
            Ok((left, stay, ids.into_iter().next_back()))
        };
        let (left, stay, last) = join.run(step).await?;
        (done.left, done.stay) = (done.left + left, done.stay + stay);
        if last.is_none() {
            return json(&done);
        }
        after = last;
    }
}

fn ids(store: &Store, after: Option<&str>) -> Result<Vec<String>, Error> {
    Ok(read(store, after, STEP)?.entries.into_iter().map(|entry| entry.id).collect())
}

/// `DELETE /v1/quarantine/{join}/{id}`.
pub(super) async fn drop_one(OfEntry(join, id): OfEntry) -> Result<Response, Problem> {
    let missing = no_entry(join.name(), &id);
    match join.run(move |store| store.drop_quarantined(&id)).await? {
        true => json(&wire::Done { done: 1 }),
        false => Err(missing),
    }
}

/// `DELETE /v1/quarantine/{join}`.
pub(super) async fn drop_all(OfJoin(join): OfJoin) -> Result<Response, Problem> {
    let (mut done, mut after) = (0, None);
    loop {
        let from: Option<String> = after;
        let step = move |store: &Store| {
            let ids = ids(store, from.as_deref())?;
            let mut done = 0;
            for id in &ids {
                done += u64::from(store.drop_quarantined(id)?);
            }
            Ok((done, ids.into_iter().next_back()))
        };
        let (some, last) = join.run(step).await?;
        done += some;
        if last.is_none() {
            return json(&wire::Done { done });
        }
        after = last;
    }
}

#[cfg(test)]
mod tests {
    use super::beginning;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, max, expected) in [
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("aé", 2, "a"),
            ("aé", 3, "aé"),
            ("a🦀b", 4, "a"),
            ("a🦀b", 5, "a🦀"),
            ("", 1, ""),
        ] {
            assert_eq!(beginning(text.as_bytes(), max), expected.as_bytes(), "{text} {max}");
        }
        assert_eq!(beginning(&[0x80; 9], 8), [0x80; 8], "what is no text is cut anywhere");
    }
}
