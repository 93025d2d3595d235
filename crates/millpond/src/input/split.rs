//! Finds where items begin and end: lines, or elements of an array.
//!
//! A machine that is handed each byte once, in pieces of any size, so that its answer cannot depend
//! on how the input arrived.

use memchr::{memchr, memchr_iter};

use super::flaw::{Expected, Flaw};
use super::value::Value;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// An item by offsets of the input. A line may still have white space at its end: that counts for
/// its length, so that a line of a few bytes and a gigabyte of spaces is oversized too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) line: u64,
    pub(super) flaw: Option<Flaw>,
}

pub(super) struct Splitter {
    place: Place,
    at: u64,
    line: u64,
    array_line: u64,
}

/// Where in the input the next byte is.
#[derive(Clone, Copy)]
enum Place {
    /// At the beginning, where this much of a byte order mark has been seen.
    Beginning { mark_bytes: usize },
    /// Before an array or the first of some lines; perhaps on the line on which an array ended.
    Outside { after_array: bool },
    /// Between lines. A line that begins with `[` is a line here: were it read as an array, one that
    /// was cut off would swallow all lines after it.
    Lines,
    /// In a line, or in what follows an array on its last line.
    Line(Opening),
    /// In an array, between elements.
    Array(Expected),
    /// In an element.
    Element(Opening, Value),
}

/// The first byte of an item whose end is still ahead.
#[derive(Clone, Copy)]
struct Opening {
    start: u64,
    line: u64,
    flaw: Option<Flaw>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { place: Place::Beginning { mark_bytes: 0 }, at: 0, line: 1, array_line: 0 }
    }
}

impl Splitter {
    /// The offset of the first byte not looked at yet.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Where the item starts that began before [`at`](Self::at) and has not ended.
    pub(super) fn open_since(&self) -> Option<u64> {
        match self.place {
            Place::Line(opening) | Place::Element(opening, _) => Some(opening.start),
            Place::Beginning { .. } => Some(0),
            Place::Outside { .. } | Place::Lines | Place::Array(_) => None,
        }
    }

    /// The next item that ends in `fresh`, the bytes from [`at`](Self::at) on; `None` when all of
    /// them have been looked at.
    pub(super) fn next(&mut self, mut fresh: &[u8]) -> Option<Span> {
        while !fresh.is_empty() {
            let before = self.at;
            let span = self.step(fresh);
            if span.is_some() {
                return span;
            }
            fresh = &fresh[(self.at - before) as usize..];
        }
        None
    }

    /// The input ends here: what was still open.
    pub(super) fn finish(&mut self) -> Option<Span> {
        let unclosed = Some(Flaw::Unclosed { array_line: self.array_line });
        let opening = match self.place {
            Place::Line(opening) => opening,
            Place::Element(opening, _) => Opening { flaw: unclosed, ..opening },
            Place::Array(_) => self.opening(unclosed),
            Place::Beginning { mark_bytes: 1.. } => Opening { start: 0, line: 1, flaw: None },
            Place::Beginning { .. } | Place::Outside { .. } | Place::Lines => return None,
        };
        self.place = Place::Lines;
        Some(self.span(opening))
    }

    fn step(&mut self, fresh: &[u8]) -> Option<Span> {
        match self.place {
            Place::Beginning { mark_bytes } => self.skip_mark(mark_bytes, fresh[0]),
            Place::Outside { after_array } => self.enter(after_array, fresh),
            Place::Lines => self.begin_line(fresh),
            Place::Line(opening) => return self.end_line(opening, fresh),
            Place::Array(expected) => return self.begin_element(expected, fresh),
            Place::Element(opening, value) => return self.end_element(opening, value, fresh),
        }
        None
    }

    fn skip_mark(&mut self, mark_bytes: usize, byte: u8) {
        self.place = if byte == BYTE_ORDER_MARK[mark_bytes] {
            self.at += 1;
            match mark_bytes + 1 {
                3 => Place::Outside { after_array: false },
                mark_bytes => Place::Beginning { mark_bytes },
            }
        } else if mark_bytes == 0 {
            Place::Outside { after_array: false }
        } else {
            Place::Line(Opening { start: 0, line: 1, flaw: None })
        };
    }

    fn enter(&mut self, after_array: bool, fresh: &[u8]) {
        let line = self.line;
        let found = self.skip_space(fresh);
        let after_array = after_array && self.line == line;
        self.place = match found {
            None => Place::Outside { after_array },
            Some(b'[') => {
                self.at += 1;
                self.array_line = self.line;
                Place::Array(Expected::ElementOrEnd)
            }
            Some(found) => {
                let expected = Expected::NewlineOrArray;
                Place::Line(self.opening(after_array.then_some(Flaw::Unexpected { expected, found })))
            }
        };
    }

    fn begin_line(&mut self, fresh: &[u8]) {
        if self.skip_space(fresh).is_some() {
            self.place = Place::Line(self.opening(None));
        }
    }

    fn end_line(&mut self, opening: Opening, fresh: &[u8]) -> Option<Span> {
        let Some(length) = memchr(b'\n', fresh) else {
            self.at += fresh.len() as u64;
            return None;
        };
        self.at += length as u64;
        let span = self.span(opening);
        self.at += 1;
        self.line += 1;
        self.place = match opening.flaw {
            Some(_) => Place::Outside { after_array: false },
            None => Place::Lines,
        };
        Some(span)
    }

    fn begin_element(&mut self, expected: Expected, fresh: &[u8]) -> Option<Span> {
        let found = self.skip_space(fresh)?;
        let opening = self.opening(Some(Flaw::Unexpected { expected, found }));
        self.at += 1;
        let after_comma = matches!(expected, Expected::Element);
        let after_element = matches!(expected, Expected::CommaOrEnd);
        let flawed = match found {
            b']' => {
                self.place = Place::Outside { after_array: true };
                after_comma
            }
            b',' => {
                self.place = Place::Array(Expected::Element);
                !after_element
            }
            _ => {
                let flaw = opening.flaw.filter(|_| after_element);
                self.place = Place::Element(Opening { flaw, ..opening }, Value::after(found));
                return None;
            }
        };
        flawed.then(|| self.span(opening))
    }

    fn end_element(&mut self, opening: Opening, mut value: Value, fresh: &[u8]) -> Option<Span> {
        let end = value.end_in(fresh);
        self.pass(&fresh[..end.unwrap_or(fresh.len())]);
        if end.is_none() {
            self.place = Place::Element(opening, value);
            return None;
        }
        self.place = Place::Array(Expected::CommaOrEnd);
        Some(self.span(opening))
    }

    /// Passes white space and blank lines; the byte after them, if `fresh` has it.
    fn skip_space(&mut self, fresh: &[u8]) -> Option<u8> {
        let length = fresh.iter().position(|byte| !is_space(*byte));
        self.pass(&fresh[..length.unwrap_or(fresh.len())]);
        length.map(|length| fresh[length])
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
        self.line += memchr_iter(b'\n', bytes).count() as u64;
    }

    fn opening(&self, flaw: Option<Flaw>) -> Opening {
        Opening { start: self.at, line: self.line, flaw }
    }

    fn span(&self, opening: Opening) -> Span {
        Span { start: opening.start, end: self.at, line: opening.line, flaw: opening.flaw }
    }
}

/// White space as JSON has it.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
