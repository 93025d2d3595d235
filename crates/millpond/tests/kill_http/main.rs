//! `serve` is killed with -9 at random moments while several clients send, amid commits, snapshots, trims and flushes,
//! and starts again on the same folder. Whatever was acknowledged is there, once; who reads after an acknowledgement
//! reads what was acknowledged; who follows the changes through all of it is told everything, and nothing twice.
//!
//! `MILLPOND_KILLS=50` makes it long; `MILLPOND_SEED` chooses the moments and the events.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

#[expect(dead_code, reason = "the tests of files use more of it")]
#[path = "../common/mod.rs"]
mod common;
mod follower;
#[path = "../common/hit.rs"]
#[expect(dead_code, reason = "the tests of files tell more kinds")]
mod hit;
mod load;
mod senders;
#[path = "../common/sent.rs"]
#[expect(dead_code, reason = "the tests of files use more of it")]
mod sent;
#[path = "../common/server.rs"]
#[expect(dead_code, reason = "the tests of the edge use more of it")]
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::thread::{self, sleep};
use std::time::Duration;

use common::{Home, user_activity};
use hit::Hit;
use load::Load;
use rustix::process::Signal;
use sent::{Chance, Sent, number_from, oracle};
use serde_json::Value;
use server::{Server, until};

const KILLS: u64 = 5;
/// A memtable that is full after some commits, and snapshots as often as there is something to close.
const SERVE: &str = "join.toml --memtable-kib 128 --upkeep-share 100";
/// Longer than a client takes to send again what was not acknowledged: later, it would be late.
const LATENESS: &str = "3s";
const SNAPSHOT_EVERY: u32 = 5;
/// A server lives at most so long.
const LIFE_MS_MAX: u64 = 1_200;
/// One kill in so many hits a server that is still starting.
const STARTING_EVERY: u64 = 5;
const STARTING_MS_MAX: u64 = 60;

/// Clients that send batches over the same keys, and clients that send single events of keys of their own.
const BATCH_SENDERS: u64 = 3;
const SINGLE_SENDERS: u64 = 2;

#[test]
fn what_a_killed_server_acknowledged_is_there_once_and_told_once() {
    let kills = number_from("MILLPOND_KILLS", KILLS);
    let seed = number_from("MILLPOND_SEED", 1);
    eprintln!("MILLPOND_SEED={seed}");
    let home = Home::new(&user_activity(LATENESS, SNAPSHOT_EVERY));
    let load = Load::default();
    thread::scope(|scope| {
        // Whoever panics first ends the others: nobody waits for a client that is gone.
        let batches = (0..BATCH_SENDERS).map(|number| {
            let load = &load;
            scope.spawn(move || load.guarded(|| senders::send_batches(load, number, seed)))
        });
        let batches: Vec<_> = batches.collect();
        let singles = (0..SINGLE_SENDERS).map(|number| {
            let load = &load;
            scope.spawn(move || load.guarded(|| senders::send_singles(load, BATCH_SENDERS + number, seed)))
        });
        let singles: Vec<_> = singles.collect();
        let follower = scope.spawn(|| load.guarded(|| follower::follow(&load)));
        load.guarded(|| {
            let server = kill_and_kill_again(&home, &load, &mut Chance(seed), kills);
            load.stop_sending();
            let sent: Vec<Sent> =
                batches.into_iter().chain(singles).flat_map(|sender| sender.join().unwrap()).collect();
            let views = oracle(sent.iter());
            check_served(&server, &load, &views, sent.len());
            load.stop();
            server.signal(Signal::TERM);
            server.ends(0);
            let told = follower.join().unwrap();
            eprintln!("{} events of {} requests; {told}", sent.len(), load.requests());
            assert_eq!(home.millpond("view user-activity").ok(), views);
            assert_eq!(home.millpond("verify user-activity --json").json()["differences"], 0);
        });
    });
}

/// Lets tails close first; then the server dies again and again. The last one lives.
fn kill_and_kill_again<'h>(home: &'h Home, load: &Load, chance: &mut Chance, kills: u64) -> Server<'h> {
    let mut hits: BTreeMap<Hit, u64> = BTreeMap::new();
    let mut starting = 0;
    let mut server = serve(home, load);
    until(|| {
        load.check();
        stats(&server)["trimmed"].as_u64() > Some(0)
    });
    for _ in 0..kills {
        sleep(Duration::from_micros(chance.below(LIFE_MS_MAX * 1_000)));
        load.check();
        load.at(None);
        server.signal(Signal::KILL);
        drop(server);
        if chance.below(STARTING_EVERY) == 0 {
            starting += 1;
            kill_starting(home, Duration::from_micros(chance.below(STARTING_MS_MAX * 1_000)));
        }
        // The next one starts from what the kill left; a copy is looked at meanwhile.
        home.copy("data", "found");
        server = serve(home, load);
        *hits.entry(Hit::of(&home.path("found"))).or_default() += 1;
        fs::remove_dir_all(home.path("found")).unwrap();
    }
    let stats = stats(&server);
    eprintln!("{kills} kills hit {hits:?}, {starting} more a start; {stats}");
    assert!(stats["snapshots"].as_u64() > Some(0) && stats["trimmed"].as_u64() > Some(0), "{stats}");
    server
}

fn serve<'h>(home: &'h Home, load: &Load) -> Server<'h> {
    let server = Server::start(home, SERVE);
    load.at(Some(server.address));
    server
}

fn kill_starting(home: &Home, delay: Duration) {
    let mut command = home.command(&format!("serve {SERVE} --listen 127.0.0.1:0"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn stats(server: &Server<'_>) -> Value {
    let heard = server.get("/v1/joins/user-activity/stats", None);
    assert_eq!(heard.status, 200, "{}", heard.body);
    serde_json::from_str(&heard.body).unwrap()
}

/// The counts are those of what was acknowledged, and the views that are told are the views.
fn check_served(server: &Server<'_>, load: &Load, views: &str, sent: usize) {
    let stats = stats(server);
    let count = |name: &str| stats[name].as_u64().unwrap();
    // A client that was late by more than the lateness would be the test's fault: the machine stood still.
    assert_eq!(count("late"), 0, "a client took longer than {LATENESS} to send again: {stats}");
    assert_eq!(["quarantined", "ignored", "conflicts", "divergence"].map(count), [0; 4], "{stats}");
    assert_eq!((count("accepted"), count("received")), (sent as u64, sent as u64 + count("duplicate")), "{stats}");
    assert!(count("duplicate") > 0, "{stats}");
    until(|| {
        load.check();
        load.told() == views
    });
    let heard = server.get("/v1/views/user-activity?limit=1000", None);
    let listed: Value = serde_json::from_str(&heard.body).unwrap();
    let listed = listed["views"].as_array().unwrap().iter().map(|view| view["document"].clone());
    let expected = views.lines().map(|view| serde_json::from_str(view).unwrap());
    assert!(listed.eq(expected.collect::<Vec<Value>>()), "{}", heard.body);
}
