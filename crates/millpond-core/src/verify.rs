//! Verify: folds a key anew from its snapshot and tail, and compares with what is stored.

use crate::join::Join;
use crate::reject::Rejection;
use crate::store::Row;
use crate::view::{Folded, View};

/// One way in which a stored view is not the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A field of the view, or `events`, `folded_to`, `order`.
    pub what: String,
    /// What is stored.
    pub stored: String,
    /// What the events say.
    pub refolded: String,
}

/// Compares a view with the fold of its snapshot and `tail` (all rows after it, in order).
///
/// # Errors
/// If a row is no event any more.
pub fn verify(join: &Join, view: &View, tail: &[Row]) -> Result<Vec<Difference>, Rejection> {
    let refolded = Folded::from_snapshot(join, view.snapshot.as_ref()).fold_all(join, tail)?;
    let mut differences = Vec::new();
    let mut compare = |what: &str, stored: String, refolded: String| {
        if stored != refolded {
            differences.push(Difference { what: what.to_owned(), stored, refolded });
        }
    };
    for ((field, stored), refolded) in join.fields().iter().zip(view.state.fields()).zip(refolded.state.fields()) {
        if stored != refolded {
            compare(
                &field.name,
                format!("{} {stored:?}", stored.render(field)),
                format!("{} {refolded:?}", refolded.render(field)),
            );
        }
    }
    compare("events", view.events.to_string(), refolded.events.to_string());
    if refolded.folded_to > view.folded_to {
        compare("folded_to", view.folded_to.to_string(), refolded.folded_to.to_string());
    }
    let ordered = tail.windows(2).all(|pair| pair[0].position < pair[1].position);
    let open = view.through().is_none_or(|through| tail.first().is_none_or(|row| row.position > *through));
    compare("order", (ordered && open).to_string(), true.to_string());
    Ok(differences)
}
