//! What the end-to-end tests share: a home of their own, the real binary in it, and its answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The user-activity example, with this lateness and this many events before a snapshot is asked for.
pub(crate) fn user_activity(lateness: &str, snapshot_every: u32) -> String {
    format!(
        r#"name = "user-activity"
lateness = "{lateness}"
snapshot_every = {snapshot_every}

[key]
"user-created"    = "user.id"
"user-loggedIn"   = "user.id"
"order-submitted" = "order.userId"

[view]
name             = {{ latest = "user.name", of = "user-created", default = "**NOT SET**" }}
lastLogin        = {{ max = "timestamp", of = "user-loggedIn", default = 0 }}
recentOrderCount = {{ count = "order-submitted" }}
"#
    )
}

/// A folder for one test: its files, and `data`, the data folder.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    /// A home with this definition in `join.toml`.
    pub(crate) fn new(definition: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        home.write("join.toml", definition);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The binary, to be started in this home on its data folder.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command.args(line.split_whitespace()).current_dir(self.dir.path()).env("MILLPOND_DATA", "data");
        command
    }

    /// Runs the binary to its end. Arguments have no spaces.
    pub(crate) fn millpond(&self, line: &str) -> Answer {
        Answer::of(line, self.command(line).output().unwrap())
    }

    /// Copies a folder of this home to a place where there is none.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        copy(&self.path(from), &self.path(to));
    }

    /// The files of the data folder, and their bytes: all but who had it last, and the tables, which
    /// tidy up whenever they are opened.
    pub(crate) fn data_bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path("data"), &mut files);
        files.retain(|(path, _)| !path.ends_with("data/LOCK") && !path.iter().any(|part| part == "tables"));
        files.sort();
        files
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
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

fn collect(dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
}

/// What the binary answered.
pub(crate) struct Answer {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) fn of(line: &str, output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Self { line: line.to_owned(), code: output.status.code(), out, err }
    }

    /// What it printed; it must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "`{}` failed\n{}{}", self.line, self.out, self.err);
        self.out
    }

    /// The one JSON value that it printed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// It must have failed like this, saying all of these on standard error; the whole of that.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "`{}`\n{}{}", self.line, self.out, self.err);
        for needle in says {
            assert!(self.err.contains(needle), "`{}` does not say {needle:?}:\n{}", self.line, self.err);
        }
        self.err
    }
}
