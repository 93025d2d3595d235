//! Every command line that a document shows is run, and prints what the document says.
//!
//! A fenced block marked `console` holds commands (`$ ` lines, continued by `> ` lines) and, under
//! each, its output. In an output line `…` stands for anything, a line of only `…` for any lines.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The documents, from the repository's root. The commands of one run in order, in a folder of
/// their own that holds a copy of `examples/`.
const DOCUMENTS: [&str; 4] =
    ["docs/cli.md", "docs/definition.md", "examples/user-activity/README.md", "examples/device-fleet/README.md"];

/// A command of a document, and the lines that it shall print.
struct Step<'d> {
    line: usize,
    command: String,
    expected: Vec<&'d str>,
}

fn steps(document: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut inside = false;
    for (index, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step { line: index + 1, command: command.to_owned(), expected: Vec::new() });
        } else if inside {
            let step = steps.last_mut().expect("a console block begins with a command");
            match continuation(line).filter(|_| step.expected.is_empty()) {
                Some(more) => step.command += &format!("\n{more}"),
                None => step.expected.push(line),
            }
        }
    }
    steps
}

fn continuation(line: &str) -> Option<&str> {
    if line == ">" { Some("") } else { line.strip_prefix("> ") }
}

/// Whether lines are as expected, where a line of only `…` stands for any lines.
fn lines_match(expected: &[&str], printed: &[&str]) -> bool {
    match (expected, printed) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..])),
        ([line, rest @ ..], [first, others @ ..]) => line_matches(line, first) && lines_match(rest, others),
        _ => false,
    }
}

/// Whether a line is as expected, where `…` stands for anything.
fn line_matches(expected: &str, printed: &str) -> bool {
    let Some((before, after)) = expected.split_once('…') else { return expected == printed };
    let Some(rest) = printed.strip_prefix(before) else { return false };
    let mut starts = rest.char_indices().map(|(start, _)| start).chain([rest.len()]);
    starts.any(|start| line_matches(after, &rest[start..]))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// The binary's folder, then what was there.
fn search_path() -> OsString {
    let binary = Path::new(env!("CARGO_BIN_EXE_millpond"));
    let before = std::env::var_os("PATH").unwrap_or_default();
    let folders = binary.parent().map(PathBuf::from).into_iter().chain(std::env::split_paths(&before));
    std::env::join_paths(folders).unwrap()
}

#[test]
fn every_shown_command_prints_what_the_document_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy(&root.join("examples"), &dir.path().join("examples"));
        for Step { line, command, expected } in steps(&text) {
            let mut shell = Command::new("sh");
            // What goes to standard error is part of what a reader sees.
            shell.arg("-c").arg(format!("exec 2>&1\n{command}")).current_dir(dir.path()).env("PATH", search_path());
            let Output { stdout, .. } = shell.output().unwrap();
            let printed = String::from_utf8(stdout).unwrap();
            if !lines_match(&expected, &printed.lines().collect::<Vec<_>>()) {
                let expected = expected.join("\n");
                wrong.push(format!(
                    "{document}:{line}: $ {command}\n--- printed\n{printed}\n--- expected\n{expected}\n"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} commands print something else:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_ellipsis_stands_for_anything() {
    for (expected, printed, matches) in [
        ("a … c", "a b c", true),
        ("a … c", "a b d", false),
        ("…", "", true),
        ("… s (… events/s)", "0.1 s (12 events/s)", true),
        ("a…", "a", true),
        ("a", "a ", false),
    ] {
        assert_eq!(line_matches(expected, printed), matches, "{expected} / {printed}");
    }
    assert!(lines_match(&["a", "…", "d"], &["a", "b", "c", "d"]));
    assert!(lines_match(&["…"], &[]));
    assert!(!lines_match(&["a"], &["a", "b"]));
}
