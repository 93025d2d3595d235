//! Pages as one stream of entries.

use std::collections::VecDeque;

use futures_util::{Stream, stream};

use crate::Error;

/// A page's entries, and what to ask for the next one with.
pub(crate) type Page<T> = (Vec<T>, Option<String>);

enum Next {
    First,
    After(String),
    None,
}

/// The entries of all pages, each page asked for when the one before it is used up.
pub(crate) fn entries<T, F>(fetch: impl Fn(Option<String>) -> F) -> impl Stream<Item = Result<T, Error>>
where
    F: Future<Output = Result<Page<T>, Error>>,
{
    stream::try_unfold((VecDeque::new(), Next::First, fetch), |(mut held, mut next, fetch)| async move {
        loop {
            if let Some(entry) = held.pop_front() {
                return Ok(Some((entry, (held, next, fetch))));
            }
            let after = match next {
                Next::First => None,
                Next::After(after) => Some(after),
                Next::None => return Ok(None),
            };
            let (entries, following) = fetch(after).await?;
            held = entries.into();
            next = following.map_or(Next::None, Next::After);
        }
    })
}
