//! What is wrong with a piece of an input that cannot be an item.

use std::fmt;

use super::ITEM_BYTES_MAX;

/// Why a piece of the input is no item; shown, it says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Longer than an item may be: only its head was kept. Said before any other flaw.
    Oversized {
        /// The whole item, in bytes.
        length: u64,
    },
    /// The input ended before the array did. The piece is the element that was cut off, or empty
    /// where the input ended between elements.
    Unclosed {
        /// The line of the array's `[`.
        array_line: u64,
    },
    /// Something else belongs where this piece begins.
    Unexpected {
        /// What belongs there.
        expected: Expected,
        /// The piece's first byte.
        found: u8,
    },
}

/// What may come next in or after an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// After `[`.
    ElementOrEnd,
    /// After `,`.
    Element,
    /// After an element.
    CommaOrEnd,
    /// After `]`, on the same line.
    NewlineOrArray,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversized { length } => {
                write!(f, "{length} bytes long, expected at most {ITEM_BYTES_MAX}")
            }
            Self::Unclosed { array_line } => {
                write!(f, "the input ends inside the array that opens on line {array_line}, expected `]`")
            }
            Self::Unexpected { expected, found } => {
                write!(f, "expected {expected}, found `{}`", found.escape_ascii())
            }
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ElementOrEnd => "an element or `]` after `[`",
            Self::Element => "an element after `,`",
            Self::CommaOrEnd => "`,` or `]` after an element",
            Self::NewlineOrArray => "a new line or another array after `]`",
        })
    }
}
