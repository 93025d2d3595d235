//! An event's place in its key's history: the same however often and whenever it is delivered.

use std::fmt;

use serde::{Deserialize, Serialize};

/// (timestamp in ms since 1970 UTC, id), ordered by both; ids compare as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Milliseconds since 1970 UTC.
    pub timestamp: u64,
    /// The event's identity.
    pub id: Box<str>,
}

impl Position {
    /// A position that owns its id.
    #[must_use]
    pub fn new(timestamp: u64, id: &str) -> Self {
        Self { timestamp, id: id.into() }
    }

    /// The borrowed form, for comparing without a copy.
    #[must_use]
    pub fn at(&self) -> At<'_> {
        At { timestamp: self.timestamp, id: &self.id }
    }
}

/// A borrowed [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At<'a> {
    /// Milliseconds since 1970 UTC.
    pub timestamp: u64,
    /// The event's identity.
    pub id: &'a str,
}

impl At<'_> {
    /// The owned form.
    #[must_use]
    pub fn to_position(self) -> Position {
        Position::new(self.timestamp, self.id)
    }
}

/// `timestamp/id`, as the CLI shows and reads it.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.timestamp, self.id)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at().fmt(f)
    }
}

impl std::str::FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (timestamp, id) = text
            .split_once('/')
            .ok_or_else(|| format!("`{text}` is no position: expected TIMESTAMP/ID, such as 1760000000000/e-17"))?;
        let number = timestamp.parse().ok().filter(|_| !timestamp.starts_with('+'));
        let timestamp = number.ok_or_else(|| format!("`{timestamp}` is no timestamp in milliseconds"))?;
        Ok(Self::new(timestamp, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_shown() {
        let position = Position::new(1_760_000_000_000, "/shop a/b");
        assert_eq!(position.to_string(), "1760000000000//shop a/b");
        assert_eq!(position.to_string().parse(), Ok(position));
        for (text, said) in
            [("5", "`5` is no position"), ("+5/e", "`+5` is no timestamp"), ("/e", "`` is no timestamp")]
        {
            let refused = text.parse::<Position>();
            assert!(refused.as_ref().is_err_and(|why| why.starts_with(said)), "{text}: {refused:?}");
        }
    }
}
