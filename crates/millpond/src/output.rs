//! What is printed: counts people can read, and lines scripts can.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

/// Standard output, buffered; flush it at the end.
pub(crate) fn stdout() -> BufWriter<Out> {
    BufWriter::new(Out(io::stdout()))
}

/// Standard output. That nobody reads it any more is told apart from the broken pipes of sockets.
#[derive(Debug)]
pub(crate) struct Out(Stdout);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(of_output)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(of_output)
    }
}

fn of_output(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => io::Error::new(ErrorKind::BrokenPipe, NotWritten(ReaderLeft)),
        _ => error,
    }
}

/// The reader of standard output has enough.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub(crate) struct ReaderLeft;

/// What an IO error holds is not among its causes; the source of it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct NotWritten(#[source] ReaderLeft);

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 key`, `1,234 keys`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A span of time in its largest whole unit, as definitions write it.
pub(crate) fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = UNITS.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// The beginning of a text on one line, to recognise it by.
pub(crate) fn head(text: &str, characters: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut head: String = text.chars().take(characters).map(plain).collect();
    if text.chars().nth(characters).is_some() {
        head.push_str("...");
    }
    head
}

/// Names and counts, aligned; a note behind a count where there is one.
pub(crate) fn counts(out: &mut impl Write, rows: &[(&str, u64, String)]) -> io::Result<()> {
    let name_width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let width = rows.iter().map(|(_, count, _)| grouped(*count).len()).max().unwrap_or(0);
    for (name, count, note) in rows {
        let line = format!("  {name:name_width$}  {count:>width$}  {note}", count = grouped(*count));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// An event's text on one line: line ends in JSON are only ever white space between its parts.
pub(crate) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Milliseconds as a date and time in UTC.
pub(crate) fn utc(ms: u64) -> String {
    let instant = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    instant.map_or_else(|| format!("{ms} ms"), |instant| instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `put` and `erase` ended with code 0 and without a word where the connection broke.
    #[test]
    fn only_the_pipe_of_standard_output_may_break_in_silence() {
        let broken = || io::Error::from(ErrorKind::BrokenPipe);
        let silent = |error: anyhow::Error| crate::exit::reader_left(&error);
        assert!(silent(of_output(broken()).into()));
        assert!(silent(serde_json::Error::io(of_output(broken())).into()), "while a value is written");
        assert!(!silent(broken().into()), "a socket's");
        assert!(!silent(anyhow::Error::from(broken()).context("cannot talk to the server")));
        assert!(!silent(of_output(ErrorKind::StorageFull.into()).into()));
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
