//! `run` is killed with -9 at random moments, amid commits, snapshots, trims and flushes. Whatever is
//! found afterwards is the right answer for a whole number of batches, never fewer than before, and
//! the next run of the same file completes it.
//!
//! `MILLPOND_KILLS=100` makes it long; `MILLPOND_SEED` chooses the moments and the events.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

#[expect(dead_code, reason = "other tests compare whole folders")]
mod common;
#[path = "common/hit.rs"]
mod hit;
#[path = "common/sent.rs"]
mod sent;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Answer, Home, user_activity};
use hit::Hit;
use sent::{Chance, KEYS, Sent, number_from, oracle};
use serde_json::Value;

const KILLS: u32 = 8;
/// Then a run may complete, and the next kills begin in a new folder.
const KILLS_A_HOME: u32 = 4;
/// Many small commits, and a memtable that is full after a few of them.
const RUN: &str = "run join.toml events.ndjson --batch 50 --memtable-kib 128";
const BATCH_EVENTS: usize = 50;
const BATCHES: usize = 100;
/// How far a displaced event is delivered from its place.
const DISORDER_EVENTS: usize = 300;
const START_MS: u64 = 1_760_000_000_000;

/// The events of a file: in order, or with some displaced so far that their place is closed when they come.
fn in_a_file(chance: &mut Chance, disorder: bool) -> Vec<Sent> {
    let mut timestamp = START_MS;
    let mut events: Vec<Sent> = (0..BATCHES * BATCH_EVENTS)
        .map(|number| {
            timestamp += 1 + chance.below(3);
            Sent::draw(number, timestamp, chance)
        })
        .collect();
    for place in 0..events.len() {
        if disorder && chance.below(10) == 0 {
            let other = place + chance.below(DISORDER_EVENTS as u64) as usize;
            events.swap(place, other.min(BATCHES * BATCH_EVENTS - 1));
        }
    }
    events
}

/// One data folder that is killed again and again.
struct Trial {
    home: Home,
    events: Vec<Sent>,
    disorder: bool,
    /// Events that were found in the store last time.
    found: usize,
}

impl Trial {
    fn new(chance: &mut Chance, disorder: bool) -> Self {
        let home = Home::new(&user_activity(if disorder { "1ms" } else { "0s" }, 5));
        let events = in_a_file(chance, disorder);
        home.write("events.ndjson", events.iter().map(|event| event.line() + "\n").collect::<String>());
        home.millpond("stats user-activity").fails(4, &["no data folder"]);
        Self { home, events, disorder, found: 0 }
    }

    /// Whether the folder is in order. It is looked at through a copy half of the time: looking
    /// flushes, and the next run shall meet what the kill left.
    fn examine(&mut self, chance: &mut Chance) -> Hit {
        let data = self.home.path("data");
        if !data.join("user-activity/MANIFEST").exists() {
            assert_eq!(self.found, 0, "the join is gone");
            self.home.millpond("view user-activity").fails(4, &["millpond: "]);
            return Hit::Making;
        }
        self.home.copy("data", "probe");
        let hit = Hit::of(&self.home.path("probe"));
        fs::remove_dir_all(self.home.path("probe")).unwrap();
        let look_at = if chance.below(2) == 0 { "data" } else { "copy" };
        if look_at == "copy" {
            self.home.copy("data", "copy");
        }
        let before = self.found;
        let stats = self.home.millpond(&format!("stats user-activity --data {look_at} --json")).json();
        self.assert_right(&stats, look_at);
        assert!(self.found >= before, "{before} events were there, now {}", self.found);
        let _ = fs::remove_dir_all(self.home.path("copy")); // if there is one
        if hit == Hit::Between && self.found == self.events.len() { Hit::Ending } else { hit }
    }

    fn assert_right(&mut self, stats: &Value, data: &str) {
        let count = |name: &str| stats[name].as_u64().unwrap();
        let parts = ["accepted", "duplicate", "late", "quarantined", "ignored"];
        assert_eq!(count("received"), parts.map(count).iter().sum::<u64>(), "{stats}");
        assert_eq!(count("received") as usize % BATCH_EVENTS, 0, "a part of a batch was counted: {stats}");
        assert_eq!((count("quarantined"), count("ignored"), count("divergence")), (0, 0, 0));
        // No event is in the file twice, so each is new once: accepted or late, and a duplicate ever after.
        self.found = (count("accepted") + count("late")) as usize;
        assert_eq!(self.found % BATCH_EVENTS, 0, "a part of a batch was kept: {stats}");

        let late = self.late(data);
        assert_eq!(late.len() as u64, count("late"));
        assert!(self.disorder || late.is_empty(), "late, though in order: {late:?}");
        let in_views = self.events[..self.found].iter().filter(|event| !late.contains(&event.position()));
        let views = self.home.millpond(&format!("view user-activity --data {data}")).ok();
        assert_eq!(views, oracle(in_views), "views of the first {} events, without {late:?}", self.found);
        let verified = self.home.millpond(&format!("verify user-activity --data {data} --json")).json();
        assert_eq!(verified["differences"], 0);
    }

    fn late(&self, data: &str) -> BTreeSet<String> {
        let listed = self.home.millpond(&format!("late list user-activity --data {data} --json")).ok();
        let entries = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.map(|entry| entry["position"].as_str().unwrap().to_owned()).collect()
    }

    /// Lets a run complete, and one more, which must find nothing new.
    fn complete(mut self) {
        self.home.millpond(RUN).ok();
        let stats = self.home.millpond("stats user-activity --json").json();
        self.assert_right(&stats, "data");
        assert_eq!(self.found, self.events.len());
        assert!(stats["snapshots"].as_u64() > Some(KEYS) && stats["trimmed"].as_u64() > Some(KEYS), "{stats}");
        let views = self.home.millpond("view user-activity").ok();
        let again = self.home.millpond(&format!("{RUN} --json")).json();
        assert_eq!(again["duplicate"], self.events.len(), "{again}");
        assert_eq!(self.home.millpond("view user-activity").ok(), views);
    }
}

/// Starts the binary and kills it after the delay; whether that was before its end.
fn killed_after(home: &Home, line: &str, delay: Duration) -> bool {
    let mut child = home.command(line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    sleep(delay);
    child.kill().unwrap(); // SIGKILL
    let output = child.wait_with_output().unwrap();
    let killed = output.status.code().is_none();
    if !killed {
        Answer::of(line, output).ok();
    }
    killed
}

fn kill_at_random(disorder: bool) {
    let kills = number_from("MILLPOND_KILLS", u64::from(KILLS)).div_ceil(2); // the other half is the other order's
    let seed = number_from("MILLPOND_SEED", 1) * 2 + u64::from(disorder);
    eprintln!("MILLPOND_SEED={}, disorder: {disorder}", seed / 2);
    let mut chance = Chance(seed);
    let trial = Trial::new(&mut chance, disorder);
    let started = Instant::now();
    trial.home.millpond(RUN).ok();
    let whole_run = started.elapsed();
    trial.complete();

    let mut hits: BTreeMap<Hit, u32> = BTreeMap::new();
    let (mut killed, mut homes) = (0, 0);
    while killed < kills {
        let mut trial = Trial::new(&mut chance, disorder);
        homes += 1;
        for _ in 0..KILLS_A_HOME.min((kills - killed) as u32) {
            let delay = Duration::from_micros(chance.below(whole_run.as_micros() as u64));
            if !killed_after(&trial.home, RUN, delay) {
                break;
            }
            killed += 1;
            *hits.entry(trial.examine(&mut chance)).or_default() += 1;
        }
        trial.complete();
    }
    eprintln!("disorder {disorder}: a run takes {whole_run:?}; {killed} kills in {homes} folders: {hits:?}");
}

/// Killed while the tables' journal was there and their version was not, a join could never be made again.
#[test]
fn a_join_that_was_being_made_when_it_was_killed_is_made_anew() {
    let home = Home::new(&user_activity("7d", 100));
    home.write("events.ndjson", "");
    fs::create_dir_all(home.path("data/user-activity/tables")).unwrap();
    home.write("data/user-activity/definition.toml", user_activity("7d", 100));
    home.write("data/user-activity/tables/0.jnl", "");
    home.write("data/user-activity/tables/lock", "");
    home.millpond(RUN).ok();
    assert_eq!(home.millpond("verify user-activity --json").json()["differences"], 0);
}

/// `verify` of all joins found none, and said nothing.
#[test]
fn a_rebuild_that_was_killed_between_its_renames_is_ended() {
    let home = Home::new(&user_activity("7d", 100));
    home.write("events.ndjson", "");
    home.millpond(RUN).ok();
    home.copy("data/user-activity", "data/user-activity.rebuild");
    fs::rename(home.path("data/user-activity"), home.path("data/user-activity.old")).unwrap();
    assert_eq!(home.millpond("verify --json").json()["join"], "user-activity");
    assert!(home.path("data/user-activity").exists() && !home.path("data/user-activity.old").exists());
}

#[test]
fn a_killed_rebuild_leaves_the_old_views_or_the_new_ones() {
    let mut chance = Chance(number_from("MILLPOND_SEED", 1));
    let home = Home::new(&user_activity("7d", 100));
    home.write("changed.toml", user_activity("7d", 100).replace("recentOrderCount", "orders"));
    let events = in_a_file(&mut chance, false);
    home.write("events.ndjson", events.iter().map(|event| event.line() + "\n").collect::<String>());
    home.write("none.ndjson", "");
    home.millpond(RUN).ok();
    let [plain, changed] = [oracle(events.iter()), oracle(events.iter()).replace("recentOrderCount", "orders")];
    let started = Instant::now();
    home.millpond("rebuild changed.toml").ok();
    let whole_rebuild = started.elapsed();
    let (mut killed, mut new) = (0, 0);
    for round in 0..number_from("MILLPOND_KILLS", u64::from(KILLS)).div_ceil(2) {
        let (definition, before, after) =
            if round % 2 == 0 { ("join", &changed, &plain) } else { ("changed", &plain, &changed) };
        let run = format!("run {definition}.toml none.ndjson");
        let delay = Duration::from_micros(chance.below(whole_rebuild.as_micros() as u64));
        killed += u64::from(killed_after(&home, &run, delay));
        assert_eq!(home.millpond("verify --json").json()["differences"], 0);
        let views = home.millpond("view user-activity").ok();
        assert!(views == *before || views == *after, "neither the old nor the new views:\n{views}");
        new += u64::from(views == *after);
        home.millpond(&run).ok();
        assert_eq!(home.millpond("view user-activity").ok(), *after);
    }
    eprintln!("rebuild: {killed} kills, {new} times the new views were there");
}

#[test]
fn a_killed_run_loses_nothing_and_the_next_one_completes_it() {
    kill_at_random(false);
}

#[test]
fn an_event_of_a_killed_run_is_in_its_view_or_in_the_late_queue() {
    kill_at_random(true);
}
