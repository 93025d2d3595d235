//! Why an event cannot be joined: a closed list of reasons, each with the words a person needs.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why an event is in quarantine.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in JSON, metrics and on the command line.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

reasons! {
    /// Not UTF-8.
    InvalidUtf8 = "invalid-utf8",
    /// Not one JSON value.
    InvalidJson = "invalid-json",
    /// JSON, but no object.
    NotAnObject = "not-an-object",
    /// Nested deeper than the limit.
    TooDeep = "too-deep",
    /// One object has the same member twice: readers would disagree about its value.
    DuplicateMember = "duplicate-member",
    /// Larger than an event may be.
    TooLarge = "too-large",
    /// `id` is absent or no proper string.
    InvalidId = "invalid-id",
    /// `type` is absent or no proper string.
    InvalidType = "invalid-type",
    /// The timestamp is absent or unreadable.
    InvalidTimestamp = "invalid-timestamp",
    /// The timestamp is further ahead than clocks may differ.
    Future = "future",
    /// The join key is absent or no proper string.
    InvalidKey = "invalid-key",
    /// Another body is already stored at the same key, timestamp and id.
    Conflict = "conflict",
    /// A piece of an input that is no event, such as an array that never closes.
    BrokenInput = "broken-input",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A reason and its particulars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The kind of fault.
    pub reason: Reason,
    /// What was found and what was expected.
    pub detail: String,
}

impl Rejection {
    /// A rejection with its particulars.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_says_its_code_and_what_was_found() {
        assert_eq!(Rejection::new(Reason::TooDeep, "33 levels").to_string(), "too-deep: 33 levels");
    }
}
