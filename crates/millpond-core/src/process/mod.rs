//! The four processes: each a pure decision, and a short driver that acts on it over the port.

pub mod consumer;
pub mod snapshot;
pub mod trigger;
pub mod trim;

use crate::join::Join;
use crate::position::Position;
use crate::reject::Rejection;
use crate::store::{Page, Row, Store};
use crate::verify::{Difference, verify};

/// Attempts at a conditional write before a driver gives its key back.
pub const ATTEMPTS_MAX: u32 = 16;

/// Why a driver did not finish. What it was asked for can be asked for again.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] E),
    /// Other writers of the key were faster, every time.
    #[error("key `{key}` was changed by others {ATTEMPTS_MAX} times in a row; try again")]
    Contended {
        /// The key.
        key: String,
    },
    /// A stored row is no event any more.
    #[error("key `{key}`: a stored row is unreadable ({source}); the store is damaged")]
    Unreadable {
        /// The key.
        key: String,
        /// What is wrong with it.
        source: Rejection,
    },
    /// The definition changed, and the rows it would have to be applied to are gone.
    #[error(
        "key `{key}`: the definition changed, but history up to {trimmed_to} is trimmed; keep the definition, or load the history into a join of another name"
    )]
    Incomplete {
        /// The key.
        key: String,
        /// The last deleted position.
        trimmed_to: Position,
    },
}

/// Folds a key anew from its snapshot and tail, and compares with its view: none if all is well, or
/// nothing is stored.
///
/// # Errors
/// If the store fails, or a row is unreadable.
pub async fn verified<S: Store>(store: &S, join: &Join, key: &str) -> Result<Vec<Difference>, Error<S::Error>> {
    let Some(view) = store.view(key).await? else { return Ok(Vec::new()) };
    let tail = all_rows(store, key, view.through(), None).await?;
    verify(join, &view, &tail).map_err(|source| Error::Unreadable { key: key.into(), source })
}

/// All rows of a range: every page.
pub(crate) async fn all_rows<S: Store>(
    store: &S,
    key: &str,
    after: Option<&Position>,
    through: Option<&Position>,
) -> Result<Vec<Row>, S::Error> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|row| &row.position).or(after);
        let Page { rows: page, more } = store.rows(key, after, through).await?;
        let done = !more || page.is_empty();
        rows.extend(page);
        if done {
            return Ok(rows);
        }
    }
}
