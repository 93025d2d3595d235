//! Whatever an input holds, and whatever the system does meanwhile: each fault gets a clear answer,
//! its good neighbours are joined all the same, and nothing is lost.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Answer, Home, user_activity};
use millpond_core::Join;
use millpond_store::{Batch, DataFolder, Options, Store};
use serde_json::Value;

/// The clock of all runs: 2025-10-10.
const NOW: u64 = 1_760_100_000_000;
const RUN: &str = "run join.toml events --now 1760100000000 --json";
const PARTS: [&str; 5] = ["accepted", "duplicate", "late", "quarantined", "ignored"];

fn home() -> Home {
    Home::new(&user_activity("7d", 100))
}

fn order(id: &str, user: &str) -> String {
    format!(r#"{{"id":"{id}","type":"order-submitted","timestamp":1760000000000,"order":{{"userId":"{user}"}}}}"#)
}

fn view_of(user: &str, orders: usize) -> String {
    format!("{{\"id\":\"{user}\",\"name\":\"**NOT SET**\",\"lastLogin\":0,\"recentOrderCount\":{orders}}}\n")
}

fn counts(summary: &Value) -> [u64; 5] {
    let count = |name: &str| summary[name].as_u64().unwrap();
    let parts = PARTS.map(count);
    assert_eq!(count("received"), parts.iter().sum::<u64>(), "{summary}");
    parts
}

fn entries(home: &Home) -> Vec<Value> {
    let listed = home.millpond("quarantine list user-activity --json").ok();
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs `bad` as a line between two good ones: they are joined, and it is kept for this reason.
fn check(reason: &str, bad: impl AsRef<[u8]>) {
    check_kept(reason, bad.as_ref(), bad.as_ref());
}

/// The same where only a part is kept.
fn check_kept(reason: &str, bad: &[u8], kept: &[u8]) {
    let shown = String::from_utf8_lossy(&bad[..bad.len().min(80)]).into_owned();
    let home = home();
    let (before, after) = (order("e-1", "ann"), order("e-2", "bob"));
    home.write("events", [before.as_bytes(), bad, after.as_bytes()].join(&b'\n'));
    assert_eq!(counts(&home.millpond(RUN).json()), [2, 0, 0, 1, 0], "{shown}");
    let views = view_of("ann", 1) + &view_of("bob", 1);
    assert_eq!(home.millpond("view user-activity").ok(), views, "{shown}");

    let [entry] = &entries(&home)[..] else { panic!("{shown}: {:?}", entries(&home)) };
    assert_eq!(entry["reason"], reason, "{shown}: {entry}");
    assert!(!entry["detail"].as_str().unwrap().is_empty(), "{shown}: {entry}");
    let show = format!("quarantine show user-activity {}", entry["id"].as_str().unwrap());
    let bytes = home.command(&show).output().unwrap().stdout;
    assert_eq!(bytes.strip_suffix(b"\n").unwrap(), kept, "{shown}");

    assert_eq!(counts(&home.millpond(RUN).json()), [0, 2, 0, 1, 0], "{shown}: again");
    assert_eq!(entries(&home).len(), 1, "{shown}: again");
    assert_eq!(home.millpond("view user-activity").ok(), views, "{shown}: again");
}

#[test]
fn what_is_no_json_object_is_kept_and_its_neighbours_are_joined() {
    check("invalid-json", r#"{"id":"e-9","type":"#);
    check("invalid-json", order("e-9", "eve") + " {}");
    check("invalid-json", "orders: 7");
    check("not-an-object", "null");
    check("not-an-object", r#"["e-9"]"#);
    check("invalid-utf8", b"{\"id\":\"e-\xFF\"}");
    check("too-deep", nested(40));
    check("too-deep", nested(50_000));
    check("duplicate-member", r#"{"id":"e-9","id":"e-8","type":"user-created","timestamp":1,"user":{"id":"eve"}}"#);
}

/// An event around this many arrays.
fn nested(depth: usize) -> String {
    let more = format!(r#","more":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    order("e-9", "eve").replacen("}}", &format!("}}{more}"), 1)
}

#[test]
fn an_event_without_identity_or_key_is_kept_and_its_neighbours_are_joined() {
    let event = |id: &str, kind: &str, timestamp: &str, user: &str| {
        format!(r#"{{{id}"type":{kind},{timestamp}"order":{{"userId":{user}}}}}"#)
    };
    let (id, kind, time, user) =
        (r#""id":"e-9","#, r#""order-submitted""#, r#""timestamp":1760000000000,"#, r#""eve""#);
    for id in ["", r#""id":"","#, r#""id":7,"#, r#""id":null,"#, r#""id":"a\u0000b","#] {
        check("invalid-id", event(id, kind, time, user));
    }
    check("invalid-type", event(id, "7", time, user));
    for time in ["", r#""timestamp":"today","#, r#""timestamp":-1,"#, r#""timestamp":1.5,"#, r#""timestamp":1e15,"#] {
        check("invalid-timestamp", event(id, kind, time, user));
    }
    check("future", event(id, kind, &format!(r#""timestamp":{},"#, NOW + 300_001), user));
    for user in ["7", "null", r#""""#, r#"{"id":"eve"}"#] {
        check("invalid-key", event(id, kind, time, user));
    }
    check("conflict", order("e-1", "ann").replace("}}", r#","total":7}}"#));
}

#[test]
fn what_is_too_large_is_kept_and_its_neighbours_are_joined() {
    check("too-large", order(&"9".repeat(391 * 1024), "eve"));
    let huge = order(&"9".repeat(17 << 20), "eve");
    check_kept("broken-input", huge.as_bytes(), &huge.as_bytes()[..64 << 10]);
}

#[test]
fn odd_files_are_read_as_they_are_meant() {
    let (ann, bob) = (order("e-1", "ann"), order("e-2", "bob"));
    let ancient = |timestamp: &str| ann.replace("1760000000000", timestamp);
    let in_five_minutes = (NOW + 300_000).to_string();
    // Content, and how many are accepted, ignored and quarantined.
    let table: [(&str, String, [u64; 3]); 16] = [
        ("empty", String::new(), [0, 0, 0]),
        ("blank lines", format!("\n \n\t\r\n{ann}\n\n\n{bob}\n\n"), [2, 0, 0]),
        ("no line end at the end", format!("{ann}\n{bob}"), [2, 0, 0]),
        ("CRLF", format!("{ann}\r\n{bob}\r\n"), [2, 0, 0]),
        ("BOM", format!("\u{FEFF}{ann}\n{bob}\n"), [2, 0, 0]),
        ("BOM and an array", format!("\u{FEFF}[{ann},{bob}]"), [2, 0, 0]),
        ("only a BOM", "\u{FEFF}".into(), [0, 0, 0]),
        ("1970", format!("{}\n{bob}", ancient("0")), [2, 0, 0]),
        ("five minutes ahead", format!("{}\n{bob}", ancient(&in_five_minutes)), [2, 0, 0]),
        ("an unknown type", format!("{ann}\n{}", bob.replace("submitted", "shipped")), [1, 1, 0]),
        ("an empty array", "[]".into(), [0, 0, 0]),
        ("two arrays", format!("[{ann}]\n[\n{bob}\n]\n"), [2, 0, 0]),
        ("an array without its end", format!("[{ann},\n{bob}"), [2, 0, 1]),
        ("an array that ends in an event", format!("[{ann},\n{}", &bob[..40]), [1, 0, 1]),
        ("an array with a hole", format!("[{ann},,{bob}]"), [2, 0, 1]),
        ("an array with a bad element", format!(r#"[{ann},{{"id":}},{bob}]"#), [2, 0, 1]),
    ];
    for (name, content, [accepted, ignored, quarantined]) in table {
        let home = home();
        home.write("events", content);
        assert_eq!(counts(&home.millpond(RUN).json()), [accepted, 0, 0, quarantined, ignored], "{name}");
        assert_eq!(entries(&home).len() as u64, quarantined, "{name}");
        assert_eq!(counts(&home.millpond(RUN).json()), [0, accepted, 0, quarantined, ignored], "{name}, again");
        assert_eq!(entries(&home).len() as u64, quarantined, "{name}, again");
        let views = [view_of("ann", 1), view_of("bob", 1)][..accepted as usize].concat();
        assert_eq!(home.millpond("view user-activity").ok(), views, "{name}");
    }
}

#[test]
fn an_input_that_cannot_be_read_ends_the_run_before_anything_is_joined() {
    let home = home();
    home.write("events", order("e-1", "ann"));
    fs::create_dir(home.path("folder")).unwrap();
    home.millpond("run join.toml events absent").fails(1, &["cannot read absent", "No such file"]);
    home.millpond("run join.toml events folder").fails(1, &["folder is a folder"]);
    home.millpond("run absent.toml events").fails(1, &["cannot read absent.toml"]);
    assert!(!home.path("data").exists());
}

#[test]
fn a_data_path_that_is_a_file_is_left_alone() {
    let home = home();
    home.write("events", order("e-1", "ann"));
    home.millpond("run join.toml events --data events").fails(1, &["events"]);
    home.millpond("view user-activity --data events").fails(1, &["events", "not a directory"]);
    assert_eq!(fs::read_to_string(home.path("events")).unwrap(), order("e-1", "ann"));
}

#[test]
fn a_second_process_on_a_folder_is_told_who_has_it() {
    let home = home();
    let mut first = home.command("run join.toml -").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let holder = format!("process {}", first.id());
    let lock = home.path("data/LOCK");
    while fs::read_to_string(&lock).is_ok_and(|text| text.trim() == holder) == first.try_wait().unwrap().is_some() {
        std::thread::yield_now(); // until the first has the folder, or has ended too soon
    }
    for line in ["view user-activity", "stats user-activity", "run join.toml join.toml"] {
        home.millpond(line).fails(5, &["in use", &holder]);
    }
    first.stdin.take().unwrap().write_all(order("e-1", "ann").as_bytes()).unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(home.millpond("view user-activity").ok(), view_of("ann", 1));
}

/// So many orders of four users, in a file, each with this much more in it; the views.
fn many_orders(home: &Home, orders: usize, more_bytes: usize) -> String {
    let mut events = Vec::new();
    for number in 0..orders {
        let event = order(&format!("e-{number}"), &format!("user-{}", number % 4));
        writeln!(events, "{}{}}}", &event[..event.len() - 1], " ".repeat(more_bytes)).unwrap();
    }
    home.write("events", events);
    (0..4).map(|user| view_of(&format!("user-{user}"), orders / 4)).collect()
}

/// A file system of its own, until dropped; `None` where tests may not mount one.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: PathBuf) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "millpond-test"]).arg(&place).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(place))
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }

    /// Fills it up but for so many bytes; removing the file makes room again.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.0.join("filler");
        let mut filler = fs::File::create(&path).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        filler.set_len(filler.metadata().unwrap().len().saturating_sub(left)).unwrap();
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status(); // a test that failed has said so already
    }
}

#[test]
fn a_full_disk_is_named_and_after_making_room_the_run_completes() {
    for options in ["", " --memtable-kib 16"] {
        let home = home();
        let views = many_orders(&home, 3_000, 0);
        home.write("none", "");
        let Some(disk) = Mounted::new(home.path("disk")) else { return }; // the next test needs no mount
        home.millpond("run join.toml none --data disk/data").ok();
        let filler = disk.fill(100 << 10);
        let run = format!("{RUN} --batch 100 --data disk/data{options}");
        home.millpond(&run).fails(1, &["disk/data/user-activity", "No space left"]);
        home.millpond("view user-activity --data disk/data").ok();
        fs::remove_file(filler).unwrap();
        home.millpond(&run).ok();
        assert_eq!(home.millpond("view user-activity --data disk/data").ok(), views, "{options}");
        assert_eq!(home.millpond("verify user-activity --data disk/data --json").json()["differences"], 0);
    }
}

/// Where nothing can be mounted, a limit stands for the full disk. The tables' journal is 64 MiB from the
/// beginning, so the limit is that and the log has to become longer.
#[test]
fn a_file_that_may_not_grow_is_named_and_after_that_the_run_completes() {
    let home = home();
    let views = many_orders(&home, 200, 380 << 10);
    let run = format!("{RUN} --batch 10 --memtable-kib 200000");
    let mut shell = Command::new("sh");
    let limited = format!(r#"trap "" XFSZ; ulimit -f 131072; exec "$0" {run}"#); // in blocks of 512 bytes
    shell.args(["-c", &limited, env!("CARGO_BIN_EXE_millpond")]);
    shell.current_dir(home.path("")).env("MILLPOND_DATA", "data");
    let answer = Answer::of(&run, shell.output().unwrap());
    answer.fails(1, &["data/user-activity/log/", ".log", "File too large"]);
    let received = home.millpond("stats user-activity --json").json()["received"].as_u64().unwrap();
    assert!(received > 0 && received.is_multiple_of(10), "{received}");
    home.millpond(&run).ok();
    assert_eq!(home.millpond("view user-activity").ok(), views);
    assert_eq!(home.millpond("verify --json").json()["differences"], 0);
}

#[test]
fn a_read_only_folder_is_named_and_nothing_is_harmed() {
    let home = home();
    let views = many_orders(&home, 400, 0);
    let Some(disk) = Mounted::new(home.path("disk")) else {
        eprintln!("not tested: no file system can be mounted here, and root is not held by permissions");
        return;
    };
    home.millpond("run join.toml events --data disk/data").ok();
    disk.remount("ro");
    home.millpond("run join.toml events --data disk/data").fails(1, &["disk/data", "Read-only file system"]);
    home.millpond("view user-activity --data disk/data").fails(1, &["disk/data", "Read-only file system"]);
    home.millpond("run join.toml events --data disk/new").fails(1, &["disk/new", "Read-only file system"]);
    disk.remount("rw");
    assert_eq!(home.millpond("view user-activity --data disk/data").ok(), views);
}

const COMMITS: usize = 6;
const COMMIT_EVENTS: usize = 3;
const SEGMENT_HEADER_BYTES: usize = 32;

/// A home whose data folder is as a kill leaves it, all commits still in the log: the log's file, and
/// where its commits end.
fn unflushed() -> (Home, PathBuf, Vec<usize>) {
    let home = home();
    let folder = DataFolder::open_or_create(&home.path("made")).unwrap();
    let join = Join::parse(&user_activity("7d", 100)).unwrap();
    let (store, _) = Store::open_or_create(&folder, join, Options::default()).unwrap();
    let log = "user-activity/log/00000000000000000001.log";
    let mut ends = vec![SEGMENT_HEADER_BYTES];
    for commit in 0..COMMITS {
        let lines: Vec<String> =
            (0..COMMIT_EVENTS).map(|number| order(&format!("e-{commit}-{number}"), "ann")).collect();
        let events: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        store.ingest(&Batch { events: &events, now: NOW, ..Batch::default() }).unwrap();
        ends.push(fs::metadata(home.path("made").join(log)).unwrap().len() as usize);
    }
    drop((store, folder));
    // A program that another test is just starting may for a moment share this one's lock, but not a copy's.
    home.copy("made", "data");
    let log = home.path("data").join(log);
    (home, log, ends)
}

#[test]
fn a_log_that_is_cut_short_anywhere_has_its_whole_commits() {
    let (home, log, ends) = unflushed();
    let whole = fs::read(&log).unwrap();
    let near = |end: &usize| [end.saturating_sub(1), *end, end + 1];
    for length in ends.iter().flat_map(near).chain([0, 7]).filter(|length| *length <= whole.len()) {
        fs::write(&log, &whole[..length]).unwrap();
        let commits = ends.iter().filter(|end| **end <= length).count().saturating_sub(1);
        let answer = home.millpond("stats user-activity --json");
        let told = answer.err.contains("unfinished commit") && answer.err.contains("00000000000000000001.log");
        assert_eq!(told, !ends.contains(&length), "cut at {length}: {}", answer.err);
        assert_eq!(answer.json()["accepted"], commits * COMMIT_EVENTS, "cut at {length}");
        let views = home.millpond("view user-activity").ok();
        assert_eq!(views, if commits == 0 { String::new() } else { view_of("ann", commits * COMMIT_EVENTS) });
    }
}

#[test]
fn a_log_that_is_damaged_in_the_middle_is_refused_and_nothing_is_changed() {
    let (home, log, ends) = unflushed();
    let whole = fs::read(&log).unwrap();
    for commit in 0..COMMITS - 1 {
        for place in [ends[commit], ends[commit] + 5, ends[commit] + 40, ends[commit + 1] - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x20;
            assert_refused(&home, &log, &damaged, ends[commit]);
        }
        let hole = [&whole[..ends[commit]], &whole[ends[commit + 1]..]].concat();
        assert_refused(&home, &log, &hole, ends[commit]);
    }
    fs::write(&log, &whole).unwrap();
    assert_eq!(home.millpond("verify --json").json()["differences"], 0);
    assert_eq!(home.millpond("view user-activity").ok(), view_of("ann", COMMITS * COMMIT_EVENTS));
}

fn assert_refused(home: &Home, log: &Path, damaged: &[u8], at: usize) {
    fs::write(log, damaged).unwrap();
    let before = home.data_bytes();
    for line in ["view user-activity", "run join.toml join.toml"] {
        let says = ["00000000000000000001.log is damaged", &format!("at byte {at}:"), "nothing was changed"];
        home.millpond(line).fails(1, &says);
    }
    assert!(home.data_bytes() == before, "the folder has changed; damage in the commit at byte {at}");
}

#[test]
fn a_folder_whose_files_are_not_ours_is_refused_and_nothing_is_changed() {
    let (home, _, _) = unflushed();
    // The file, what is in it (nothing: it is removed), the exit codes of `view` and `run`, and what both say.
    let table = [
        ("MANIFEST", Some("rubbish"), [1, 1], "`rubbish` is no manifest"),
        ("MANIFEST", Some(""), [1, 1], "MANIFEST is damaged"),
        ("MANIFEST", Some("millpond-store 999"), [1, 1], "MANIFEST has format 999"),
        ("MANIFEST", None, [4, 1], "user-activity"),
        ("definition.toml", Some("name = 7"), [1, 1], "the definition stored in data/user-activity is not understood"),
        ("definition.toml", None, [1, 1], "cannot read data/user-activity/definition.toml"),
        ("log/other.log", Some(""), [1, 1], "other.log is not a segment"),
    ];
    for (name, content, codes, says) in table {
        let path = home.path("data/user-activity").join(name);
        let original = fs::read(&path).ok();
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let before = home.data_bytes();
        for (line, code) in ["view user-activity", "run join.toml join.toml"].into_iter().zip(codes) {
            home.millpond(line).fails(code, &[says]);
        }
        assert!(home.data_bytes() == before, "{name}: the folder has changed");
        match original {
            Some(original) => fs::write(&path, original).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    assert_eq!(home.millpond("view user-activity").ok(), view_of("ann", COMMITS * COMMIT_EVENTS));
}

#[test]
fn a_join_that_lost_its_manifest_is_not_made_anew() {
    let (unflushed, _, _) = unflushed();
    let flushed = home();
    flushed.write("events", order("e-1", "ann"));
    flushed.millpond(RUN).ok();
    for home in [unflushed, flushed] {
        let views = home.millpond("view user-activity").ok();
        let [manifest, aside] = ["data/user-activity/MANIFEST", "aside"].map(|name| home.path(name));
        fs::rename(&manifest, &aside).unwrap();
        let before = home.data_bytes();
        home.millpond("run join.toml join.toml").fails(1, &["data/user-activity", "MANIFEST is missing"]);
        assert!(home.data_bytes() == before);
        fs::rename(&aside, &manifest).unwrap();
        assert_eq!(home.millpond("view user-activity").ok(), views);
    }
}
