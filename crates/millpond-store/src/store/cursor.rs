//! Where a reader of changes has come to: a text that it keeps, and gives again to go on.

use std::fmt;
use std::str::FromStr;

use crate::log::FramePlace;

/// A reader's place. Its text is opaque, and made of letters, digits and dots.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub(super) place: Place,
    /// See [`Store::edition`](super::Store::edition).
    pub(super) edition: u32,
    /// Where the log goes on, if that was found out before.
    pub(super) frame: Option<FramePlace>,
}

/// After a change: those of one commit are told in the order of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) commit: u64,
    /// The last key of that commit that was told; `None` if all were.
    pub(super) key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before everything.
    Start,
    /// Following the log.
    Log(Told),
    /// Looking through all views, in the order of keys, for those that changed after `since`, as of
    /// commit `at`: what changed after that is told from the log. `after` is the last key told.
    Scan { since: Told, at: u64, after: Option<String> },
}

impl Cursor {
    /// Before everything: all views come first, then their changes.
    #[must_use]
    pub fn start() -> Self {
        Place::Start.into()
    }

    /// After a commit.
    pub(super) fn after(commit: u64) -> Self {
        Place::Log(Told { commit, key: None }).into()
    }

    /// Of erasures after this commit the reader still has to be told.
    pub(super) fn commit(&self) -> u64 {
        match &self.place {
            Place::Start => 0,
            Place::Log(told) => told.commit,
            // It began with nothing: what was erased before, it never knew.
            Place::Scan { since, at, .. } if since.commit == 0 => *at,
            Place::Scan { since, .. } => since.commit,
        }
    }
}

impl From<Place> for Cursor {
    fn from(place: Place) -> Self {
        Self { place, edition: 0, frame: None }
    }
}

impl Told {
    /// Whether the change of a key in a commit was told.
    pub(super) fn covers(&self, commit: u64, key: &str) -> bool {
        commit < self.commit || (commit == self.commit && self.key.as_ref().is_none_or(|told| key <= told.as_str()))
    }
}

/// A text that is no cursor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place in a stream of changes; give the last id that was received, or none")]
pub struct NotACursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Start => return f.write_str("start"),
            Place::Log(told) => write!(f, "c{told}")?,
            Place::Scan { since, at, after } => write!(f, "s{since}.{at}.{}", hex(after.as_deref()))?,
        }
        write!(f, ".{:08x}", self.edition)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.commit, hex(self.key.as_deref()))
    }
}

/// A key as `k` and hexadecimal digits, `-` for none.
fn hex(key: Option<&str>) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).expect("half a byte is below 16");
    let digits = |key: &str| key.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>();
    key.map_or_else(|| "-".to_owned(), |key| format!("k{}", digits(key)))
}

fn unhex(text: &str) -> Option<Option<String>> {
    if text == "-" {
        return Some(None);
    }
    let digits = text.strip_prefix('k').filter(|digits| digits.len().is_multiple_of(2) && digits.is_ascii())?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    Some(Some(String::from_utf8(bytes?).ok()?))
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let told = |commit: &str, key: &str| Some(Told { commit: commit.parse().ok()?, key: unhex(key)? });
        if text == "start" {
            return Ok(Self::start());
        }
        let parse = || {
            let (place, edition) = text.rsplit_once('.')?;
            let edition = u32::from_str_radix(edition, 16).ok()?;
            let parts: Vec<&str> = place.get(1..)?.split('.').collect();
            let place = match (place.get(..1)?, parts.as_slice()) {
                ("c", [commit, key]) => Some(Place::Log(told(commit, key)?)),
                ("s", [commit, key, at, after]) => {
                    Some(Place::Scan { since: told(commit, key)?, at: at.parse().ok()?, after: unhex(after)? })
                }
                _ => None,
            };
            Some(Self { edition, ..place?.into() })
        };
        parse().ok_or_else(|| NotACursor(text.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told() -> impl Strategy<Value = Told> {
        (any::<u64>(), proptest::option::of(".{0,5}")).prop_map(|(commit, key)| Told { commit, key })
    }

    proptest! {
        #[test]
        fn a_cursor_survives_as_text(told in told(), scan in proptest::option::of((any::<u64>(), proptest::option::of(".{0,5}")))) {
            let place = match scan {
                None => Place::Log(told),
                Some((at, after)) => Place::Scan { since: told, at, after },
            };
            let text = Cursor::from(place.clone()).to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-'));
            prop_assert_eq!(text.parse::<Cursor>().unwrap().place, place);
        }

        #[test]
        fn other_texts_are_refused(text in "[cs]?[0-9k.é-]{0,12}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert!(cursor.to_string().parse::<Cursor>().is_ok());
            }
        }
    }
}
