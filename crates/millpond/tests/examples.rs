//! Every folder of `examples/` is run by the real binary and gives its expected views, however its
//! events are delivered.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The clock of all runs, after the examples' events: 2025-10-10.
const NOW: &str = "1760100000000";
const SEEDS: u64 = 8;

struct Example {
    name: String,
    dir: PathBuf,
}

impl Example {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let entries = fs::read_dir(&root).expect("the repository has examples");
        let mut examples: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("join.toml").exists())
            .map(|entry| Self { name: entry.file_name().into_string().unwrap(), dir: entry.path() })
            .collect();
        examples.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(!examples.is_empty(), "no example in {}", root.display());
        examples
    }

    fn events(&self) -> String {
        fs::read_to_string(self.dir.join("events.ndjson")).unwrap()
    }

    fn expected(&self) -> String {
        fs::read_to_string(self.dir.join("expected.ndjson")).unwrap()
    }
}

/// A data folder of its own.
struct Home<'e> {
    example: &'e Example,
    dir: tempfile::TempDir,
}

impl<'e> Home<'e> {
    fn new(example: &'e Example) -> Self {
        Self { example, dir: tempfile::tempdir().unwrap() }
    }

    fn millpond(&self, args: &[&str]) -> String {
        let data = self.dir.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        let Output { status, stdout, stderr } =
            command.args(args).arg("--data").arg(data).args(["--now", NOW]).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{} {args:?}: {status}\n{stdout}{stderr}", self.example.name);
        stdout
    }

    /// Runs a file of events, and returns what `--json` says of it.
    fn run(&self, events: &Path) -> serde_json::Value {
        let definition = self.example.dir.join("join.toml");
        let summary = self.millpond(&["run", path(&definition), path(events), "--json"]);
        serde_json::from_str(&summary).unwrap()
    }

    /// Runs events that are delivered in another form.
    fn run_text(&self, events: &str) -> serde_json::Value {
        let file = self.dir.path().join("events");
        fs::write(&file, events).unwrap();
        self.run(&file)
    }

    fn assert_expected(&self, how: &str) {
        let Example { name, .. } = self.example;
        assert_eq!(self.millpond(&["view", name]), self.example.expected(), "{name}: {how}");
        let verified: serde_json::Value = serde_json::from_str(&self.millpond(&["verify", name, "--json"])).unwrap();
        assert_eq!(verified["differences"], 0, "{name}: {how}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Fisher and Yates, driven by Knuth's MMIX generator: any order will do, as long as a seed names it.
fn shuffled(lines: &mut [&str], seed: u64) {
    let mut state = seed;
    for end in (1..lines.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        lines.swap(end, (state >> 33) as usize % (end + 1));
    }
}

#[test]
fn every_example_gives_its_expected_views() {
    for example in Example::all() {
        let home = Home::new(&example);
        home.run(&example.dir.join("events.ndjson"));
        home.assert_expected("as it is");
    }
}

#[test]
fn a_second_run_of_an_example_changes_nothing() {
    for example in Example::all() {
        let home = Home::new(&example);
        let file = example.dir.join("events.ndjson");
        let (first, second) = (home.run(&file), home.run(&file));
        let known = first["accepted"].as_u64().unwrap() + first["duplicate"].as_u64().unwrap();
        assert_eq!((&second["accepted"], &second["duplicate"]), (&0.into(), &known.into()), "{}", example.name);
        for same in ["received", "late", "quarantined", "ignored", "keys"] {
            assert_eq!(second[same], first[same], "{}: {same}", example.name);
        }
        home.assert_expected("a second time");
    }
}

#[test]
fn an_example_is_the_same_shuffled_and_delivered_twice() {
    for example in Example::all() {
        let once = example.events();
        for seed in 0..SEEDS {
            let mut lines: Vec<&str> = once.lines().chain(once.lines()).collect();
            shuffled(&mut lines, seed);
            let home = Home::new(&example);
            home.run_text(&(lines.join("\n") + "\n"));
            home.assert_expected(&format!("shuffled with seed {seed}"));
        }
    }
}

#[test]
fn an_example_is_the_same_as_one_json_array() {
    for example in Example::all() {
        let array = format!("[{}]", example.events().lines().collect::<Vec<_>>().join(",\n"));
        let home = Home::new(&example);
        let as_array = home.run_text(&array);
        home.assert_expected("as an array");
        let as_lines = Home::new(&example).run(&example.dir.join("events.ndjson"));
        for same in ["received", "accepted", "duplicate", "late", "quarantined", "ignored", "keys"] {
            assert_eq!(as_array[same], as_lines[same], "{}: {same}", example.name);
        }
    }
}
