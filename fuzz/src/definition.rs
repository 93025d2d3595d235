//! Any text as a definition: a join, or faults with places in the text.

use millpond_core::Join;
use millpond_core::definition::DEFINITION_BYTES_MAX;
use millpond_core::envelope::Path;

/// The same text gives the same, faults lie in the text, and a path is read as it is shown.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = Path::parse(text) {
        assert_eq!(Path::parse(&path.to_string()), Ok(path));
    }
    match (Join::parse(text), Join::parse(text)) {
        (Ok(join), Ok(again)) => {
            assert_eq!(join.fingerprint(), again.fingerprint());
            assert_eq!(join.source_text(), text);
            assert_eq!(join.fields().len(), join.shown_fields().count());
            for name in join.type_names() {
                let kind = join.type_index(name).expect("it is a type of the join");
                assert_eq!(join.type_name(kind), name);
                assert!(!join.key_sources(kind).is_empty());
            }
            // What comes behind a definition changes nothing but what it says.
            let commented = format!("{text}\n# A comment.\n");
            if commented.len() <= DEFINITION_BYTES_MAX {
                assert_eq!(Join::parse(&commented).map(|join| join.fingerprint()), Ok(join.fingerprint()));
            }
        }
        (Err(faults), Err(again)) => {
            assert_eq!(faults.0, again.0);
            assert!(!faults.0.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for fault in &faults.0 {
                let line = lines.get(fault.line - 1).unwrap_or_else(|| panic!("no line {}", fault.line));
                assert!((1..=line.chars().count() + 1).contains(&fault.column), "{fault:?} in {line:?}");
                assert!(!fault.message.is_empty());
            }
        }
        (one, other) => panic!("one text, two answers: {:?} and {:?}", one.err(), other.err()),
    }
}
