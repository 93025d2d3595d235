//! Server-sent events, as the HTML standard has them: bytes in, however they are cut, events out.

use std::collections::VecDeque;
use std::time::Duration;

/// The longest event that is taken: views are far smaller.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type; `message` if it has none.
    pub(crate) kind: String,
    pub(crate) data: String,
    /// The last id of the stream, of this event or an earlier one; empty if there was none.
    pub(crate) id: String,
}

/// An event longer than [`EVENT_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// What of the stream is not an event yet.
#[derive(Debug)]
pub(crate) struct Parser {
    line: Vec<u8>,
    first_line: bool,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    kind: String,
    data: String,
    id: String,
    /// The id as of the last complete event.
    last_id: String,
    retry: Option<Duration>,
}

impl Parser {
    /// A parser of a new connection, which goes on after an id.
    pub(crate) fn after(last_id: &str) -> Self {
        Self {
            line: Vec::new(),
            first_line: true,
            after_cr: false,
            kind: String::new(),
            data: String::new(),
            id: last_id.to_owned(),
            last_id: last_id.to_owned(),
            retry: None,
        }
    }

    /// The id to go on after, once all events so far are handled.
    pub(crate) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// How long the server wants to be left alone after the connection ends.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next bytes, and appends the events that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], events: &mut VecDeque<Event>) -> Result<(), TooLong> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            let Some(end) = end else { return Ok(()) };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.take_line(&line, events);
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], events: &mut VecDeque<Event>) {
        let line = match std::mem::take(&mut self.first_line) {
            true => line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            return self.end_event(events);
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            _ => {} // a comment, or a field of a later standard
        }
    }

    fn end_event(&mut self, events: &mut VecDeque<Event>) {
        self.last_id.clone_from(&self.id);
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_some() {
            let kind = if kind.is_empty() { "message".to_owned() } else { kind };
            events.push_back(Event { kind, data, id: self.id.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<(String, String, String)>, String) {
        let (mut parser, mut events) = (Parser::after(""), VecDeque::new());
        for piece in pieces {
            parser.feed(piece, &mut events).expect("the events are short");
        }
        let events = events.into_iter().map(|Event { kind, data, id }| (kind, data, id)).collect();
        (events, parser.last_id().to_owned())
    }

    fn check(stream: &str, expected: &[(&str, &str, &str)]) {
        let own = |(a, b, c): &(&str, &str, &str)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned());
        let expected: Vec<_> = expected.iter().map(own).collect();
        assert_eq!(parsed([stream.as_bytes()]).0, expected, "{stream:?}");
    }

    #[test]
    fn the_standards_cases() {
        check("data: a\n\n", &[("message", "a", "")]);
        check("\u{feff}data: a\n\n", &[("message", "a", "")]);
        check("data: a\ndata:b\ndata\n\n", &[("message", "a\nb\n", "")]);
        check("data:  two spaces\n\n", &[("message", " two spaces", "")]);
        check("event: change\r\nid: 7\r\ndata: {}\r\n\r\n", &[("change", "{}", "7")]);
        check("event: change\rid: 7\rdata: {}\r\r", &[("change", "{}", "7")]);
        check(": ping\n\n:\n\ndata: a\n\n", &[("message", "a", "")]);
        check("event: x\n\ndata: a\n\n", &[("message", "a", "")]);
        check(
            "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            &[("message", "a", "1"), ("message", "b", "1"), ("message", "c", "")],
        );
        check("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", &[("message", "a", "1"), ("message", "b", "1")]);
        check("data\n\n", &[("message", "", "")]);
        check("data: cut off\n", &[]);
        check("unknown: x\ndata: a: b\n\n", &[("message", "a: b", "")]);
    }

    #[test]
    fn an_id_counts_once_its_block_is_complete_even_without_an_event() {
        assert_eq!(parsed([b"id: 5\n" as &[u8]]).1, "");
        assert_eq!(parsed([b"id: 5\n\n" as &[u8]]).1, "5");
    }

    #[test]
    fn the_server_may_ask_to_be_left_alone() {
        let mut parser = Parser::after("");
        parser.feed(b"retry: 250\n\nretry: x\n\n", &mut VecDeque::new()).expect("short");
        assert_eq!(parser.retry(), Some(Duration::from_millis(250)));
    }

    #[test]
    fn an_event_without_end_is_not_held_for_ever() {
        let mut parser = Parser::after("");
        let piece = vec![b'x'; 1 << 20];
        let ended = (0..20).find_map(|_| parser.feed(&piece, &mut VecDeque::new()).err());
        assert_eq!(ended, Some(TooLong));
    }

    proptest! {
        #[test]
        fn cuts_between_pieces_change_nothing(
            lines in prop::collection::vec((prop::sample::select(vec![
                "", "", "data: a", "data:é∂", "data", "id: 3", "id: 4", "event: change", ": ping", "retry: 5", "\u{feff}data: b",
            ]), prop::sample::select(vec!["\n", "\r", "\r\n"])), 0..30),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let stream: String = lines.iter().flat_map(|(line, end)| [*line, *end]).collect();
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
            prop_assert_eq!(parsed(pieces), parsed([bytes]));
        }
    }
}
