//! A line as a condition, and what follows it as the event that it is asked about: nothing panics,
//! one question has one answer, and none takes for ever.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use millpond_core::condition::Condition;
use millpond_core::fold::contribution;
use millpond_core::json::quoted;
use millpond_core::{Event, Join};

use crate::first_line;

/// Far more than a condition takes on [`LARGE`], in an instrumented build too.
const TIME_MAX: Duration = Duration::from_secs(1);
/// A busy machine may take a second where nobody is to blame; not three times.
const TRIES: usize = 3;

/// An event with much of everything. Once over all elements for each is let pass here: in a macro,
/// CEL copies the right side of a comparison, and `check.rs` does not refuse every such condition.
static LARGE: LazyLock<String> = LazyLock::new(|| event(1_000));

fn event(elements: usize) -> String {
    let mut text = String::from(r#"{"id":"e","type":"a","timestamp":1,"k":"k","n":1,"items":["#);
    for index in 0..elements {
        let _ = write!(text, "{}{{\"n\":{index},\"s\":\"x{index}\"}}", if index > 0 { "," } else { "" });
    }
    let words = "word ".repeat(elements);
    let numbers = vec!["1"; elements].join(",");
    let _ = write!(text, r#"],"s":"{words}","a":[{numbers}],"o":[{{"a":[{numbers}],"s":"{words}"}}]}}"#);
    text
}

/// Compiles the condition, and asks it about the event and about a large one.
pub fn run(bytes: &[u8]) {
    let (condition, body) = first_line(bytes);
    let (Ok(condition), Ok(body)) = (std::str::from_utf8(condition), std::str::from_utf8(body)) else { return };
    if Condition::parse(condition).is_err() {
        return;
    }
    // What TOML has no way to write.
    let Ok(join) = Join::parse(&definition(condition)) else { return assert!(condition.contains('\u{7f}')) };
    let event = format!(r#"{{"id":"e","type":"a","timestamp":1,"k":"k","n":{body}}}"#);
    for event in [body, &event] {
        assert_eq!(asked(&join, event), asked(&join, event), "two answers to one question");
    }
    let times = (0..TRIES).map(|_| {
        let began = Instant::now();
        asked(&join, &LARGE);
        began.elapsed()
    });
    assert!(times.into_iter().any(|time| time < TIME_MAX), "it takes too long on an event of {} bytes", LARGE.len());
}

fn definition(condition: &str) -> String {
    let condition = quoted(condition);
    format!("name = \"c\"\n[key]\na = \"k\"\n[view]\nf = {{ count = \"a\", where = {condition} }}\n")
}

/// Whether the condition holds, `None` if it cannot be asked; nothing if this is no event.
fn asked(join: &Join, text: &str) -> Option<Option<bool>> {
    let event = Event::read(join, text.as_bytes()).ok()?;
    let kind = join.type_index(&event.kind)?;
    let (gives, gaps) = contribution(join, kind, &event);
    assert!(gives.len() + gaps.len() <= 1);
    Some(gaps.is_empty().then_some(!gives.is_empty()))
}
