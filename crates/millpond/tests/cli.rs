//! What each command does to a data folder, what it prints, and with which code it ends.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use common::{Answer, Home, user_activity};
use serde_json::{Value, json};

/// The timestamp of the first event: 2025-10-09.
const START_MS: u64 = 1_760_000_000_000;
const DAY_MS: u64 = 86_400_000;
/// The clock of the first run: all events are in the lateness window.
const NOW: u64 = START_MS + DAY_MS;
/// A clock by which they can be closed.
const LATER: u64 = NOW + 8 * DAY_MS;

fn order(id: &str, user: &str, second: u64) -> String {
    let timestamp = START_MS + second * 1000;
    format!(
        r#"{{"id":"{id}","type":"order-submitted","timestamp":{timestamp},"order":{{"userId":"{user}","total":2}}}}"#
    )
}

fn login(id: &str, user: &str, second: u64) -> String {
    let timestamp = START_MS + second * 1000;
    format!(r#"{{"id":"{id}","type":"user-loggedIn","timestamp":{timestamp},"user":{{"id":"{user}"}}}}"#)
}

fn created(id: &str, user: &str, name: &str, second: u64) -> String {
    let timestamp = START_MS + second * 1000;
    let user = format!(r#"{{"id":"{user}","name":"{name}"}}"#);
    format!(r#"{{"id":"{id}","type":"user-created","timestamp":{timestamp},"user":{user}}}"#)
}

/// Two events of Ann, three of Bob, and one of a third.
fn events() -> [String; 6] {
    [
        created("e-1", "ann", "Ann", 10),
        login("e-2", "bob", 20),
        order("e-3", "ann", 30),
        created("e-4", "bob", "Bob", 40),
        created("e-5", "bob", "Robert", 50),
        order("e-6", "cleo", 60),
    ]
}

const ANN: &str = "{\"id\":\"ann\",\"name\":\"Ann\",\"lastLogin\":0,\"recentOrderCount\":1}\n";
const BOB: &str = "{\"id\":\"bob\",\"name\":\"Robert\",\"lastLogin\":1760000020000,\"recentOrderCount\":0}\n";
const CLEO: &str = "{\"id\":\"cleo\",\"name\":\"**NOT SET**\",\"lastLogin\":0,\"recentOrderCount\":1}\n";

/// A home in which the events have been joined.
fn home() -> Home {
    let home = Home::new(&user_activity("7d", 100));
    home.write("events", events().join("\n") + "\n");
    let summary = run(&home, "join.toml events");
    assert_eq!((&summary["received"], &summary["accepted"], &summary["keys"]), (&json!(6), &json!(6), &json!(3)));
    home
}

/// Runs files; what is printed as JSON.
fn run(home: &Home, files: &str) -> Value {
    home.millpond(&format!("run {files} --now {NOW} --json")).json()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn views(home: &Home) -> String {
    home.millpond("view user-activity").ok()
}

fn close_and_trim(home: &Home) {
    home.millpond(&format!("snapshot user-activity --now {LATER}")).ok();
    home.millpond("trim user-activity").ok();
}

#[track_caller]
fn assert_verified(home: &Home) {
    for line in lines(&home.millpond("verify --json").ok()) {
        assert_eq!(line["differences"], 0, "{line}");
    }
}

#[test]
fn views_are_printed_one_or_all_in_the_order_of_keys() {
    let home = home();
    assert_eq!(home.millpond("view user-activity bob").ok(), BOB);
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    assert_eq!(home.millpond("view user-activity --prefix b").ok(), BOB);
    assert_eq!(home.millpond("view user-activity --prefix dora").ok(), "");
}

#[test]
fn what_is_not_there_ends_with_4_and_says_what_is() {
    let home = home();
    for command in ["view", "events", "explain", "snapshot", "trim"] {
        home.millpond(&format!("{command} user-activity dora")).fails(4, &["user-activity", "`dora`"]);
    }
    for command in ["view", "stats", "verify", "late list", "quarantine list", "snapshot", "trim"] {
        home.millpond(&format!("{command} sales")).fails(4, &["no join `sales`", "it has user-activity"]);
        home.millpond(&format!("{command} ../data")).fails(4, &["no join `../data`"]);
    }
    home.millpond("late accept user-activity bob").fails(4, &["late list"]);
    home.millpond("late drop user-activity bob 1/e").fails(4, &["late list"]);
    for id in ["00", "0f3c0f3c0f3c0f3c0f3c0f3c0f3c0f3c"] {
        for command in ["show", "retry", "drop"] {
            home.millpond(&format!("quarantine {command} user-activity {id}")).fails(4, &[id, "quarantine list"]);
        }
    }
    home.millpond("stats user-activity --data nowhere").fails(4, &["no data folder nowhere"]);
    home.millpond("rebuild join.toml --data nowhere").fails(4, &["no data folder nowhere"]);
    assert!(!home.path("nowhere").exists());
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let home = home();
    for line in ["", "sing", "run join.toml", "run join.toml events --batch 0", "late drop user-activity"] {
        home.millpond(line).fails(2, &["--help"]);
    }
    home.millpond("late accept user-activity bob yesterday").fails(2, &["TIMESTAMP/ID"]);
}

#[test]
fn a_wrong_definition_ends_with_2_and_names_every_fault_with_its_line() {
    let home = home();
    let wrong =
        user_activity("7 days", 0).replace("latest", "latst").replace("of = \"user-loggedIn\"", "of = \"login\"");
    home.write("wrong.toml", &wrong);
    let says = ["wrong.toml:2:", "wrong.toml:3:", "wrong.toml:11:", "did you mean `latest`?", "wrong.toml:12:"];
    let before = home.data_bytes();
    for line in ["check wrong.toml", "run wrong.toml events", "rebuild wrong.toml"] {
        home.millpond(line).fails(2, &says);
    }
    assert!(home.data_bytes() == before);
    let checked = home.command("check wrong.toml --json").env_remove("MILLPOND_DATA").output().unwrap();
    assert_eq!(checked.status.code(), Some(2));
    let faults: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let at: Vec<u64> =
        faults["faults"].as_array().unwrap().iter().map(|fault| fault["line"].as_u64().unwrap()).collect();
    assert_eq!(at, [2, 3, 11, 12]);
    assert_eq!(home.millpond("check join.toml --json").json()["name"], "user-activity");
}

#[test]
fn explain_names_the_event_that_decides() {
    let home = home();
    let told = home.millpond("explain user-activity bob").ok();
    let decides = told.lines().find(|line| line.contains("\"Robert\"") && line.contains("gives"));
    assert!(decides.is_some_and(|line| line.contains("e-5") && line.contains("user-created")), "{told}");
    assert!(!told.contains("e-4"), "a name that does not show decides nothing:\n{told}");

    let fields = lines(&home.millpond("explain user-activity bob --json").ok());
    let name = json!({"field": "name", "fold": "latest", "value": "Robert", "shows": 1, "tail_values": 2, "events": [
        {"timestamp": START_MS + 50_000, "id": "e-5", "type": "user-created", "gives": "Robert"},
    ]});
    assert_eq!(fields[0], name);
    assert_eq!(fields[1]["events"][0]["id"], "e-2");
    assert_eq!(fields[2]["events"], json!([]));
}

#[test]
fn a_snapshot_and_a_trim_change_no_view() {
    let home = home();
    let none = home.millpond(&format!("snapshot user-activity --now {NOW} --json")).json();
    assert_eq!(none, json!({"keys": 3, "snapshots": 0, "tail_events": 6}));
    let one = home.millpond(&format!("snapshot user-activity bob --now {LATER} --json")).json();
    assert_eq!(one, json!({"keys": 1, "snapshots": 1, "tail_events": 0}));

    let marked = lines(&home.millpond("events user-activity bob").ok());
    let ids: Vec<&Value> = marked.iter().map(|event| &event["id"]).collect();
    assert_eq!(ids, ["e-2", "e-4", "e-5"]);
    assert!(marked.iter().all(|event| event["in_snapshot"] == true && event["put_at"] == NOW));
    assert_eq!(marked[2]["event"]["user"]["name"], "Robert");

    assert_eq!(home.millpond("trim user-activity bob --json").json(), json!({"keys": 1, "trimmed": 3}));
    assert_eq!(home.millpond("trim user-activity bob --json").json(), json!({"keys": 1, "trimmed": 0}));
    let trimmed = home.millpond("events user-activity bob");
    assert!(trimmed.err.contains("3 earlier events") && trimmed.err.contains("e-5"), "{}", trimmed.err);
    assert_eq!(trimmed.ok(), "");
    assert_eq!(lines(&home.millpond("events user-activity ann").ok()).len(), 2);

    let name = &lines(&home.millpond("explain user-activity bob --json").ok())[0];
    let part = json!({"value": "Robert", "through": format!("{}/e-5", START_MS + 50_000), "events": 3});
    assert_eq!((&name["snapshot"], &name["events"]), (&part, &json!([])));
    assert!(home.millpond("explain user-activity bob").ok().contains("snapshot: \"Robert\""));

    let all = home.millpond(&format!("snapshot user-activity --now {LATER} --json")).json();
    assert_eq!(all, json!({"keys": 3, "snapshots": 2, "tail_events": 0}));
    assert_eq!(home.millpond("trim user-activity --json").json()["trimmed"], 3);
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    assert_verified(&home);

    home.write("more", order("e-7", "bob", 70) + "\n" + &created("e-8", "bob", "Bobby", 80));
    assert_eq!(run(&home, "join.toml more")["accepted"], 2);
    let name = &lines(&home.millpond("explain user-activity bob --json").ok())[0];
    assert_eq!((&name["value"], &name["snapshot"]["value"]), (&json!("Bobby"), &json!("Robert")));
    assert_eq!(name["events"][0]["id"], "e-8");
    assert_verified(&home);
}

#[test]
fn a_late_event_waits_until_it_is_accepted_or_dropped() {
    let home = home();
    close_and_trim(&home);
    home.write("late", [order("l-1", "ann", 5), order("l-2", "bob", 6), order("l-3", "bob", 7)].join("\n"));
    let run_late = format!("run join.toml late --now {LATER} --json");
    assert_eq!(home.millpond(&run_late).json()["late"], 3);
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());

    let waiting = lines(&home.millpond("late list user-activity --json").ok());
    let positions: Vec<&str> = waiting.iter().map(|entry| entry["position"].as_str().unwrap()).collect();
    assert_eq!(positions, ["1760000005000/l-1", "1760000006000/l-2", "1760000007000/l-3"]);
    assert_eq!((&waiting[0]["key"], &waiting[0]["received_at"]), (&json!("ann"), &json!(LATER)));
    assert_eq!(waiting[0]["closed_through"], "1760000030000/e-3");
    assert_eq!(waiting[0]["event"]["order"]["userId"], "ann");
    assert_eq!(home.millpond("late list user-activity bob").ok().matches("/l-").count(), 2);

    assert_eq!(home.millpond("late accept user-activity ann 1760000005000/l-1 --json").json(), json!({"accepted": 1}));
    let with_it = ANN.replace("Count\":1", "Count\":2");
    assert_eq!(home.millpond("view user-activity ann").ok(), with_it);
    home.millpond("late accept user-activity ann 1760000005000/l-1").fails(4, &["no such event"]);
    assert_eq!(home.millpond("late drop user-activity bob 1760000006000/l-2 --json").json(), json!({"dropped": 1}));
    assert_eq!(lines(&home.millpond("late list user-activity --json").ok()).len(), 1);
    assert_verified(&home);

    // Delivered again: what was accepted or waits is known. What was dropped is forgotten, and so late again, unless
    // this very file was read before.
    home.write("again", [order("l-3", "bob", 7), order("l-2", "bob", 6), order("l-1", "ann", 5)].join("\n"));
    let again = home.millpond(&format!("run join.toml again --now {LATER} --json")).json();
    assert_eq!((&again["duplicate"], &again["late"]), (&json!(2), &json!(1)));
    assert_eq!(home.millpond(&run_late).json()["duplicate"], 3);
    assert_eq!(home.millpond("late drop user-activity --all --json").json(), json!({"dropped": 2}));
    assert_eq!(home.millpond("late drop user-activity --all --json").json(), json!({"dropped": 0}));
    assert_eq!(home.millpond(&run_late).json()["duplicate"], 3);
    assert_eq!(views(&home), [&with_it, BOB, CLEO].concat());
    assert_verified(&home);
}

#[test]
fn an_event_from_the_future_leaves_the_quarantine_when_its_time_has_come() {
    let home = home();
    let tomorrow = login("f-1", "bob", 2 * DAY_MS / 1000);
    home.write("future", format!("{tomorrow}\nrubbish\n"));
    assert_eq!(run(&home, "join.toml future")["quarantined"], 2);
    let entries = lines(&home.millpond("quarantine list user-activity --json").ok());
    let future = entries.iter().find(|entry| entry["reason"] == "future").unwrap();
    let id = future["id"].as_str().unwrap();
    assert_eq!((&future["text"], &future["received_at"]), (&json!(tomorrow), &json!(NOW)));
    assert_eq!(home.millpond(&format!("quarantine show user-activity {id}")).ok(), tomorrow.clone() + "\n");

    let early = home.millpond(&format!("quarantine retry user-activity {id} --now {NOW} --json")).json();
    assert_eq!(early, json!({"left": 0, "stay": 1}));
    let in_time = home.millpond(&format!("quarantine retry user-activity --all --now {LATER} --json")).json();
    assert_eq!(in_time, json!({"left": 1, "stay": 1}));
    assert_eq!(home.millpond("view user-activity bob").ok(), BOB.replace("1760000020000", "1760172800000"));
    assert_eq!(home.millpond("quarantine drop user-activity --all --json").json(), json!({"dropped": 1}));
    assert_eq!(home.millpond("quarantine list user-activity --json").ok(), "");
    home.millpond(&format!("quarantine show user-activity {id}")).fails(4, &[id]);
    assert_verified(&home);
}

#[test]
fn a_changed_definition_is_applied_to_complete_history() {
    let home = home();
    let changed = user_activity("7d", 100).replace("{ count = \"order", "{ sum = \"order.total\", of = \"order");
    home.write("changed.toml", &changed);
    let told = home.millpond("run changed.toml events --json");
    assert!(told.err.contains("definition"), "{}", told.err);
    assert_eq!(told.json()["duplicate"], 6);
    let summed = [ANN, BOB, CLEO].concat().replace("Count\":1", "Count\":2");
    assert_eq!(views(&home), summed);
    assert_verified(&home);

    let back = home.millpond("rebuild join.toml --json").json();
    assert_eq!(back, json!({"rebuilt": true, "rows": 6, "accepted": 6, "ignored": 0, "quarantined": 0}));
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    assert_eq!(home.millpond("rebuild join.toml --json").json(), json!({"rebuilt": false}));
    assert_verified(&home);
}

#[test]
fn a_changed_definition_is_refused_where_history_is_trimmed() {
    let home = home();
    home.millpond(&format!("snapshot user-activity bob --now {LATER}")).ok();
    home.millpond("trim user-activity bob").ok();
    home.write("changed.toml", user_activity("7d", 100).replace("recentOrderCount", "orders          "));
    let before = home.data_bytes();
    for line in ["rebuild changed.toml", "run changed.toml events"] {
        home.millpond(line).fails(6, &["user-activity", "1 of its keys", "another name", "another data folder"]);
    }
    assert!(home.data_bytes() == before);
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    home.write("changed.toml", user_activity("7d", 100).replace("user-activity", "orders"));
    assert_eq!(run(&home, "changed.toml events")["accepted"], 6); // one of the ways out: another name
}

#[test]
fn a_definition_that_drops_a_type_with_events_is_refused_until_told() {
    let home = home();
    let without: String = user_activity("7d", 100)
        .lines()
        .filter(|line| !line.contains("order-submitted"))
        .fold(String::new(), |text, line| text + line + "\n");
    home.write("without.toml", without);
    let before = home.data_bytes();
    for line in ["rebuild without.toml", "run without.toml events"] {
        home.millpond(line).fails(6, &["order-submitted", "2 events", "--drop-unnamed"]);
    }
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    assert!(home.data_bytes() == before);
    assert_eq!(home.millpond("rebuild without.toml --drop-unnamed --json").json()["ignored"], 2);
    assert_eq!(home.millpond("view user-activity ann").ok(), "{\"id\":\"ann\",\"name\":\"Ann\",\"lastLogin\":0}\n");
    assert_verified(&home);
}

#[test]
fn a_new_event_type_counts_from_the_run_that_brings_it() {
    let home = home();
    home.write("more", order("e-7", "bob", 70).replace("submitted", "returned"));
    assert_eq!(run(&home, "join.toml more")["ignored"], 1);
    let changed = user_activity("7d", 100).replace("\n[view]", "\"order-returned\" = \"order.userId\"\n\n[view]")
        + "returned = { count = \"order-returned\" }\n";
    home.write("changed.toml", changed);
    assert_eq!(run(&home, "changed.toml events")["duplicate"], 6);
    assert_eq!(run(&home, "changed.toml more")["accepted"], 1);
    assert_eq!(home.millpond("view user-activity bob").ok(), BOB.replace('}', ",\"returned\":1}"));
    assert_verified(&home);
}

#[test]
fn a_changed_key_path_moves_the_events_to_their_new_keys() {
    let home = home();
    let by_name =
        user_activity("7d", 100).replace("\"user-created\"    = \"user.id\"", "\"user-created\" = \"user.name\"");
    home.write("changed.toml", by_name);
    assert_eq!(home.millpond("rebuild changed.toml --json").json()["accepted"], 6);
    let keys: Vec<Value> = lines(&views(&home)).into_iter().map(|view| view["id"].clone()).collect();
    assert_eq!(keys, ["Ann", "Bob", "Robert", "ann", "bob", "cleo"]);
    assert_verified(&home);
    home.millpond("rebuild join.toml").ok();
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
}

#[test]
fn another_default_or_lateness_needs_no_rebuild() {
    let home = home();
    close_and_trim(&home); // a rebuild would be refused
    home.write("changed.toml", user_activity("30d", 7).replace("**NOT SET**", "nobody"));
    assert_eq!(home.millpond("rebuild changed.toml --json").json(), json!({"rebuilt": false}));
    assert_eq!(home.millpond("view user-activity cleo").ok(), CLEO.replace("**NOT SET**", "nobody"));
    assert_eq!(run(&home, "join.toml events")["duplicate"], 6);
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    assert_verified(&home);
}

#[test]
fn two_joins_in_one_folder_do_not_touch_each_other() {
    let home = home();
    let sales =
        "name = \"sales\"\n[key]\n\"order-submitted\" = \"order.userId\"\n[view]\ntotal = { sum = \"order.total\" }\n";
    home.write("sales.toml", sales.replace("sum = \"order.total\"", "sum = \"order.total\", of = \"order-submitted\""));
    let summary = run(&home, "sales.toml events");
    assert_eq!((&summary["accepted"], &summary["ignored"]), (&json!(2), &json!(4)));
    let totals = "{\"id\":\"ann\",\"total\":2}\n{\"id\":\"cleo\",\"total\":2}\n";
    assert_eq!(home.millpond("view sales").ok(), totals);
    close_and_trim(&home);
    assert_eq!(lines(&home.millpond("events sales ann").ok()).len(), 1);
    home.write("more", order("e-7", "ann", 70));
    run(&home, "sales.toml more");
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    assert_eq!(home.millpond("view sales ann").ok(), "{\"id\":\"ann\",\"total\":4}\n");
    let verified = lines(&home.millpond("verify --json").ok());
    assert_eq!((&verified[0]["join"], &verified[1]["join"]), (&json!("sales"), &json!("user-activity")));
    home.millpond("view purchases").fails(4, &["it has sales, user-activity"]);
}

#[test]
fn a_growing_file_is_read_again_and_only_what_is_new_counts() {
    let home = home();
    close_and_trim(&home);
    let grown = events().join("\n") + "\n" + &order("e-7", "bob", 70) + "\n";
    home.write("events", &grown);
    let summary = run(&home, "join.toml events");
    assert_eq!((&summary["accepted"], &summary["duplicate"], &summary["late"]), (&json!(1), &json!(6), &json!(0)));
    // Written up to the middle of a line, and then to its end.
    let next = order("e-8", "bob", 80);
    home.write("events", grown.clone() + &next[..30]);
    assert_eq!(run(&home, "join.toml events")["quarantined"], 1);
    home.write("events", grown + &next + "\n");
    assert_eq!(run(&home, "join.toml events")["accepted"], 1);
    assert_eq!(home.millpond("view user-activity bob").ok(), BOB.replace("Count\":0", "Count\":2"));
    assert_verified(&home);
}

#[test]
fn a_copied_folder_is_a_backup() {
    let home = home();
    home.copy("data", "backup");
    close_and_trim(&home);
    home.write("more", order("e-7", "bob", 70));
    run(&home, "join.toml more");
    std::fs::remove_dir_all(home.path("data")).unwrap();
    home.copy("backup", "data");
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
    assert_eq!(run(&home, "join.toml more")["accepted"], 1);
    assert_eq!(lines(&home.millpond("events user-activity bob").ok()).len(), 4);
    assert_verified(&home);
}

#[test]
fn counts_of_repeats_alone_are_kept() {
    let home = home();
    run(&home, "join.toml events");
    run(&home, "join.toml events events");
    let stats = home.millpond("stats user-activity --json").json();
    assert_eq!((&stats["received"], &stats["accepted"], &stats["duplicate"]), (&json!(24), &json!(6), &json!(18)));
}

#[test]
fn standard_input_is_a_file_too() {
    let home = Home::new(&user_activity("7d", 100));
    let mut child =
        home.command("run join.toml - --json").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(events().join("\n").as_bytes()).unwrap();
    let summary = Answer::of("run -", child.wait_with_output().unwrap()).json();
    assert_eq!((&summary["join"], &summary["received"]), (&json!("user-activity"), &json!(6)));
    assert!(summary["seconds"].is_number() && summary["events_per_second"].is_number(), "{summary}");
    assert_eq!(views(&home), [ANN, BOB, CLEO].concat());
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    const USERS: usize = 5_000; // their views are more than a pipe holds
    let home = Home::new(&user_activity("7d", 100));
    let orders: String = (0..USERS).map(|user| order("e-1", &format!("user-{user}"), 1) + "\n").collect();
    home.write("events", orders);
    run(&home, "join.toml events");
    let mut child = home.command("view user-activity").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap(); // and then it closes the pipe
    let answer = Answer::of("view user-activity", child.wait_with_output().unwrap());
    assert!(first.contains("user-0"), "{first}");
    assert_eq!((answer.err.clone(), answer.ok()), (String::new(), String::new()));
}

/// A line that was half written at the first run was a duplicate when it was whole, and lost.
#[test]
fn a_line_that_was_cut_short_is_another_one_when_it_is_whole() {
    let home = Home::new(&user_activity("1ms", 1));
    let line = |id: &str, at: u64| {
        format!(r#"{{"id":"{id}","type":"order-submitted","timestamp":{at},"order":{{"userId":"ann"}}}}"#) + "\n"
    };
    let (first, second) = (line("e-1", 1_760_000_000_010), line("e-2", 1_760_000_000_005));
    home.write("events", format!("{first}{}", &second[..20]));
    home.millpond("run join.toml events --now 1760000001000").ok();
    home.millpond("snapshot user-activity --now 1760000100000").ok();
    home.millpond("trim user-activity --now 1760000100000").ok();
    home.write("events", format!("{first}{second}"));
    let again = home.millpond("run join.toml events --now 1760000200000 --json").ok();
    assert!(again.contains(r#""duplicate":1,"late":1"#), "{again}");
}
