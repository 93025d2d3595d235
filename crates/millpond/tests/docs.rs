//! Every command line that a document shows is run, and prints what the document says.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

#[path = "common/document.rs"]
mod document;

use std::fs;
use std::path::Path;

use document::{copy, printed, steps};

/// The documents, from the repository's root. The commands of one run in order, in a folder of
/// their own that holds a copy of `examples/`.
const DOCUMENTS: [&str; 4] =
    ["docs/cli.md", "docs/definition.md", "examples/user-activity/README.md", "examples/device-fleet/README.md"];

#[test]
fn every_shown_command_prints_what_the_document_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy(&root.join("examples"), &dir.path().join("examples"));
        for step in steps(&text) {
            wrong.extend(step.fault(document, &printed(&step.command, dir.path())));
        }
    }
    assert!(wrong.is_empty(), "{} commands print something else:\n{}", wrong.len(), wrong.join("\n"));
}
