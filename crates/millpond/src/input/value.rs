//! Finds where one JSON value ends, without asking whether it is valid.

use super::nested::Nested;
use super::split::is_space;

/// A value whose first byte has been read: what is still to come.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// An object or an array.
    Nested(Nested),
    /// A string; `escaped` if a backslash came last.
    Text { escaped: bool },
    /// A number, a word, or rubbish: it goes on up to the next separator.
    Plain,
}

impl Value {
    /// The value that begins with `first`.
    pub(super) fn after(first: u8) -> Self {
        match first {
            b'{' => Self::Nested(Nested::opened(b'{', b'}')),
            b'[' => Self::Nested(Nested::opened(b'[', b']')),
            b'"' => Self::Text { escaped: false },
            _ => Self::Plain,
        }
    }

    /// How many of the next `bytes` belong to the value; `None` if it goes on after them.
    pub(super) fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Nested(nested) => nested.end_in(bytes),
            Self::Text { escaped } => end_of_text(escaped, bytes),
            Self::Plain => bytes.iter().position(|byte| ends_plain(*byte)),
        }
    }
}

fn end_of_text(escaped: &mut bool, bytes: &[u8]) -> Option<usize> {
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            _ if *escaped => *escaped = false,
            b'\\' => *escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// A value that begins ends the one before, so that a missing comma spoils no more than it must.
fn ends_plain(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b',' | b']' | b'[' | b'{' | b'"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::tests::Chance;

    /// The same answer, found byte by byte: the oracle.
    fn end_by_bytes(text: &[u8]) -> Option<usize> {
        let (open, close) = if text[0] == b'{' { (b'{', b'}') } else { (b'[', b']') };
        let (mut depth, mut in_string, mut escaped) = (0, false, false);
        for (index, &byte) in text.iter().enumerate() {
            let plain = !escaped; // a backslash counts outside strings too, where JSON has none
            escaped = plain && byte == b'\\';
            if plain && byte == b'"' {
                in_string = !in_string;
            } else if !in_string && byte == open {
                depth += 1;
            } else if !in_string && byte == close {
                depth -= 1;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
        }
        None
    }

    fn end_by_pieces(text: &[u8], step: usize) -> Option<usize> {
        let mut value = Value::after(text[0]);
        let mut pieces = text[1..].chunks(step).enumerate();
        pieces.find_map(|(index, piece)| Some(1 + index * step + value.end_in(piece)?))
    }

    #[test]
    fn the_end_of_a_random_value_is_where_a_byte_loop_finds_it() {
        let pieces = ["{", "}", "[", "]", "\"", "\\", "\\\\\\\"", "a", "\n", "\"x\"", "{}", "            "];
        let mut chance = Chance(0x5EED_0002);
        for _ in 0..20_000 {
            let text = ["{", "["][chance.below(2)].to_owned() + &chance.text(&pieces, 60);
            let expected = end_by_bytes(text.as_bytes());
            for step in [1, 1 + chance.below(130), 1 << 10] {
                assert_eq!(end_by_pieces(text.as_bytes(), step), expected, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn a_plain_value_ends_at_whatever_may_follow_it() {
        for (text, end) in [("12,", 2), ("tru e", 3), ("1]", 1), ("1{", 1), ("1\"", 1), ("1[", 1), ("}}\n", 2)] {
            for step in [1, 9] {
                assert_eq!(end_by_pieces(text.as_bytes(), step), Some(end), "{text:?} by {step}");
            }
        }
        assert_eq!(end_by_pieces(b"12", 1), None);
    }
}
