//! Erasure of a key from the tables: its view becomes a snapshot of nothing, so that what comes
//! again stays out, and its rows are deleted.

use millpond_core::store::{Store, Written};
use millpond_core::view::Folded;
use millpond_core::{Position, Snapshot, State, View};

use crate::aws::error::Error;
use crate::handlers::{Deployment, Invocation};

/// Writes that others may be faster with.
const ATTEMPTS_MAX: u32 = 16;

/// What was removed.
#[derive(Debug, PartialEq, Eq)]
pub struct Erased {
    /// Whether there was a view.
    pub view: bool,
    /// Whether there was a snapshot.
    pub snapshot: bool,
    /// Rows that are deleted.
    pub rows: u64,
    /// What is at or below it stays out.
    pub through: Position,
}

/// Removes a key from the tables. Rows that are written meanwhile are removed too, by this or by the trim that they are
/// cause of; or they are of a new life of the key, if they are younger.
///
/// # Errors
/// If it is not known to be done: it can be asked for again.
pub async fn erase(deployment: &Deployment, key: &str, invocation: &Invocation) -> Result<Erased, Error> {
    let store = deployment.store(invocation).that_heals();
    let join = &deployment.join;
    let now = (invocation.now)();
    let mut erased = Erased { view: false, snapshot: false, rows: 0, through: Position::new(now, "") };
    let mut attempts = 0;
    loop {
        let stored = store.view(key).await?;
        erased.view |= stored.as_ref().is_some_and(|view| !view.is_erased());
        erased.snapshot |= stored.as_ref().is_some_and(|view| view.snapshot.is_some() && !view.is_erased());
        // All that the view has folded is below it; what is above, and comes, begins the key anew.
        if let Some(stored) = stored.as_ref().filter(|stored| stored.folded_to > erased.through) {
            erased.through.clone_from(&stored.folded_to);
        }
        let through = erased.through.clone();
        let snapshot = Snapshot { state: State::empty(join), through, events: 0, closed_at: now };
        let mut tombstone = View::unstored(join, Folded::from_snapshot(join, Some(&snapshot)), Some(snapshot));
        tombstone.version = stored.as_ref().map_or(0, |view| view.version) + 1;
        tombstone.behind = stored.as_ref().is_some_and(|view| view.behind);
        if store.put_view(key, stored.as_ref(), &tombstone).await? == Written::Done {
            break;
        }
        attempts += 1;
        if attempts == ATTEMPTS_MAX {
            let why = "others were faster, every time".to_owned();
            return Err(Error::Unavailable { what: "erasing a view", attempts, why });
        }
    }
    store.delete_snapshot_item(key).await?;
    let mut after = None;
    loop {
        // What is above may be in the key's new view already.
        let page = store.rows(key, after.as_ref(), Some(&erased.through)).await?;
        let mut left: Vec<Position> = page.rows.iter().map(|row| row.position.clone()).collect();
        erased.rows += left.len() as u64;
        after = left.last().cloned();
        while !left.is_empty() {
            left = store.delete_rows(key, &left).await?;
        }
        if !page.more {
            return Ok(erased);
        }
    }
}
