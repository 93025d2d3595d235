//! Events gathered into the bodies of requests.

use bytes::Bytes;
use serde::de::IgnoredAny;

/// Events of a request.
pub const BATCH_EVENTS: usize = 1_000;
/// A request with this much is sent, however few its events.
pub const BATCH_BYTES: usize = 4 << 20;

/// Events of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    body: Bytes,
    form: Form,
    events: usize,
}

/// How events lie in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One a line.
    Lines,
    /// In an array: those that have line ends between their parts, and would be another text
    /// without them. The same event must always have the same bytes, however it is sent.
    Array,
}

/// Gathers events.
#[derive(Debug)]
pub struct Batcher {
    events_max: usize,
    bytes_max: usize,
    body: Vec<u8>,
    form: Form,
    events: usize,
}

impl Default for Batcher {
    fn default() -> Self {
        Self::new(BATCH_EVENTS, BATCH_BYTES)
    }
}

impl Batch {
    /// How many events it has.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }

    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.form {
            Form::Lines => "application/x-ndjson",
            Form::Array => "application/json",
        }
    }
}

impl Batcher {
    /// One for batches of so many events, and about so many bytes.
    #[must_use]
    pub fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { events_max: events_max.max(1), bytes_max, body: Vec::new(), form: Form::Lines, events: 0 }
    }

    /// Adds the JSON text of an event; a batch that is complete without it is given back. Nothing
    /// but white space is no event.
    pub fn add(&mut self, event: &[u8]) -> Option<Batch> {
        let event = event.trim_ascii();
        if event.is_empty() {
            return None;
        }
        let form = form(event);
        let full = self.events >= self.events_max || self.body.len() + event.len() > self.bytes_max;
        let complete = if full || form != self.form { self.take() } else { None };
        self.form = form;
        match form {
            // A broken event goes into quarantine, as one.
            Form::Lines => {
                self.body.extend(event.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
                self.body.push(b'\n');
            }
            Form::Array => {
                self.body.push(if self.events == 0 { b'[' } else { b',' });
                self.body.extend_from_slice(event);
            }
        }
        self.events += 1;
        complete
    }

    /// What has been gathered, if anything.
    pub fn take(&mut self) -> Option<Batch> {
        let events = std::mem::take(&mut self.events);
        let mut body = std::mem::take(&mut self.body);
        if events > 0 && self.form == Form::Array {
            body.push(b']');
        }
        (events > 0).then(|| Batch { body: body.into(), form: self.form, events })
    }

    /// The last batch.
    #[must_use]
    pub fn finish(mut self) -> Option<Batch> {
        self.take()
    }
}

fn form(event: &[u8]) -> Form {
    let one_line = !event.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    match one_line || serde_json::from_slice::<IgnoredAny>(event).is_err() {
        true => Form::Lines,
        false => Form::Array,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[&str], expected: &[(&str, &str, usize)]) {
        let mut batcher = Batcher::new(3, 40);
        let mut batches: Vec<Batch> = events.iter().filter_map(|event| batcher.add(event.as_bytes())).collect();
        batches.extend(batcher.finish());
        let text = |batch: &Batch| String::from_utf8(batch.body.to_vec()).expect("it is text");
        let batches: Vec<_> = batches.iter().map(|batch| (text(batch), batch.content_type(), batch.events)).collect();
        let shown: Vec<_> = batches.iter().map(|(text, kind, events)| (text.as_str(), *kind, *events)).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_batch_ends_at_a_number_of_events_or_of_bytes() {
        const LINES: &str = "application/x-ndjson";
        check(&[], &[]);
        check(&["", " \n"], &[]);
        check(&["1", "2", "3", "4"], &[("1\n2\n3\n", LINES, 3), ("4\n", LINES, 1)]);
        let long = "x".repeat(60);
        check(&["1", &long, "2"], &[("1\n", LINES, 1), (&format!("{long}\n"), LINES, 1), ("2\n", LINES, 1)]);
    }

    #[test]
    fn an_event_of_several_lines_keeps_its_bytes_if_it_is_one() {
        const ARRAY: (&str, &str, usize) = ("[{\n\"a\":1\n},{\r\n}]", "application/json", 2);
        check(
            &["1", "{\n\"a\":1\n}", "{\r\n}", "{\n"],
            &[("1\n", "application/x-ndjson", 1), ARRAY, ("{\n", "application/x-ndjson", 1)],
        );
        check(&["{\"a\":\n"], &[("{\"a\":\n", "application/x-ndjson", 1)]);
        check(&["{\"a\":\nb"], &[("{\"a\": b\n", "application/x-ndjson", 1)]);
    }
}
