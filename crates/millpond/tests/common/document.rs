//! Documents that show commands: what they show, and how it is run and compared.
//!
//! A fenced block marked `console` holds commands (`$ ` lines, continued by `> ` lines) and, under
//! each, its output. In an output line `…` stands for anything, a line of only `…` for any lines.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A command of a document, and the lines that it shall print.
pub(crate) struct Step<'d> {
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) expected: Vec<&'d str>,
}

pub(crate) fn steps(document: &str) -> Vec<Step<'_>> {
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

pub(crate) fn copy(from: &Path, to: &Path) {
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

/// Runs a command in a folder; what it prints, on either output, as a reader sees it.
pub(crate) fn printed(command: &str, dir: &Path) -> String {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 2>&1\n{command}")).current_dir(dir).env("PATH", search_path());
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

impl Step<'_> {
    /// What is wrong with what was printed, if anything.
    pub(crate) fn fault(&self, document: &str, printed: &str) -> Option<String> {
        if lines_match(&self.expected, &printed.lines().collect::<Vec<_>>()) {
            return None;
        }
        let (line, command, expected) = (self.line, &self.command, self.expected.join("\n"));
        Some(format!("{document}:{line}: $ {command}\n--- printed\n{printed}\n--- expected\n{expected}\n"))
    }
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
