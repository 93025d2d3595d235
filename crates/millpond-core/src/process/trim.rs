//! Trim: deletes the rows that a durable snapshot covers.

use super::{ATTEMPTS_MAX, Error};
use crate::position::Position;
use crate::snapshot::Snapshot;
use crate::store::{Page, Row, Store, Written};
use crate::trim::{TrimDecision, decide};
use crate::view::View;

/// How often rows that the store did not delete are tried again, in one run.
const LEFTOVERS_MAX: u32 = 8;

/// What a trim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Rows deleted.
    pub deleted: u64,
    /// Rows that the store would not delete now; the next trim finds them again.
    pub left: u64,
}

/// Deletes the covered rows of a key.
///
/// # Errors
/// See [`Error`]; what is left over goes with the next trim.
pub async fn trim<S: Store>(store: &S, key: &str) -> Result<Trimmed, Error<S::Error>> {
    trim_archived(store, key, async |_| Ok(())).await
}

/// As [`trim`]; each page of rows is given to `archive` before it goes, unless they are of an erased key: what came
/// again of it is kept nowhere.
///
/// # Errors
/// See [`Error`]; nothing is deleted that was not archived.
pub async fn trim_archived<S: Store>(
    store: &S,
    key: &str,
    archive: impl AsyncFn(&[Row]) -> Result<(), S::Error>,
) -> Result<Trimmed, Error<S::Error>> {
    let Some(Marked { through, is_erased }) = mark(store, key).await? else { return Ok(Trimmed::default()) };
    let mut done = Trimmed::default();
    let mut after: Option<Position> = None;
    loop {
        let Page { rows, more } = store.rows(key, after.as_ref(), Some(&through)).await?;
        if !rows.is_empty() && !is_erased {
            archive(&rows).await?;
        }
        let positions: Vec<Position> = rows.into_iter().map(|row| row.position).collect();
        let left = delete(store, key, &positions).await?;
        done.deleted += positions.len() as u64 - left;
        done.left += left;
        after = positions.last().cloned();
        if !more || after.is_none() {
            return Ok(done);
        }
    }
}

/// What may be deleted.
struct Marked {
    through: Position,
    /// Whether it is what an erasure covers.
    is_erased: bool,
}

/// Says in the view that history ends here, before any row goes. Of what was erased nobody needs to be told: no
/// definition wants it, and the view may be another one's.
async fn mark<S: Store>(store: &S, key: &str) -> Result<Option<Marked>, Error<S::Error>> {
    for _ in 0..ATTEMPTS_MAX {
        let stored = store.view(key).await?;
        let TrimDecision::DeleteThrough(through) = decide(stored.as_ref()) else { return Ok(None) };
        let Some(stored) = stored else { return Ok(None) };
        let is_erased = stored.snapshot.as_ref().is_some_and(Snapshot::is_of_erased);
        if is_erased || stored.trimmed_to.as_ref() == Some(&through) {
            return Ok(Some(Marked { through, is_erased }));
        }
        let version = stored.version + 1;
        let marked = View { version, trimmed_to: Some(through.clone()), ..stored.clone() };
        if store.put_view(key, Some(&stored), &marked).await? == Written::Done {
            return Ok(Some(Marked { through, is_erased }));
        }
    }
    Err(Error::Contended { key: key.into() })
}

/// Deletes, and tries what is left over again; answers how many are left in the end.
async fn delete<S: Store>(store: &S, key: &str, positions: &[Position]) -> Result<u64, S::Error> {
    let mut left = positions.to_vec();
    for _ in 0..LEFTOVERS_MAX {
        if left.is_empty() {
            break;
        }
        left = store.delete_rows(key, &left).await?;
    }
    Ok(left.len() as u64)
}
