//! Every command prints the same, and ends the same, on a data folder and on a server.

use serde_json::Value;

use crate::common::{Answer, Home, user_activity};
use crate::server::Server;
use crate::{START_MS, order};

/// A home with the same data in `data`, and served from `served`.
struct Both {
    home: Home,
    server: Server,
}

impl Both {
    /// Stored so long ago that all of it can be closed now.
    fn new() -> Self {
        let home = Home::new(&user_activity("7d", 100));
        let mut events: Vec<String> = (0..700).map(|number| order(number, &format!("user-{}", number % 7))).collect();
        events.push(format!(
            r#"{{"id":"c","type":"user-created","timestamp":{START_MS},"user":{{"id":"user-1","name":"Ann \"A\""}}}}"#
        ));
        events.push(format!(r#"{{"id":"l","type":"user-loggedIn","timestamp":{START_MS},"user":{{"id":"a/b ?é"}}}}"#));
        events.push(r#"{"id":"broken","type":"order-submitted"#.to_owned());
        events.push(order(9_999, "17").replace("\"17\"", "17"));
        events.push(format!(r#"{{"id":"x","type":"unknown","timestamp":{START_MS}}}"#));
        home.write("events", events.join("\n"));
        home.write("pretty", "[\n{\"id\": \"p\",\n \"type\": \"user-loggedIn\",\n \"timestamp\": 1760000000500, \"user\": {\"id\": \"user-2\"}}\n]");
        home.millpond(&format!("run join.toml events pretty --now {}", START_MS + 3_600_000)).ok();
        home.copy("data", "served");
        let server = Server::start(&home);
        Self { home, server }
    }

    fn answers(&self, arguments: &[&str]) -> (Answer, Answer) {
        let answer = |place: &[&str]| {
            let output = self.home.command("").args(arguments).args(place).output().unwrap();
            Answer::of(&format!("{arguments:?} {place:?}"), output)
        };
        (answer(&["--data", "data"]), answer(&["--server", &self.server.url]))
    }

    /// The answer of both.
    #[track_caller]
    fn same(&self, line: &str, code: i32) -> String {
        self.same_words(&line.split_whitespace().collect::<Vec<_>>(), code)
    }

    #[track_caller]
    fn same_words(&self, arguments: &[&str], code: i32) -> String {
        let (stored, served) = self.answers(arguments);
        assert_eq!(stored.code, Some(code), "{arguments:?}: {}{}", stored.out, stored.err);
        assert_eq!(served.code, Some(code), "{arguments:?}: {}{}", served.out, served.err);
        assert_eq!(stored.out, served.out, "{arguments:?}\n{}\n{}", stored.err, served.err);
        assert_eq!(served.err.is_empty(), stored.err.is_empty(), "{}\n{}", stored.err, served.err);
        stored.out
    }

    /// Lines of JSON that are the same but for the members that tell of this very moment.
    #[track_caller]
    fn same_but_for(&self, line: &str, moments: &[&str]) -> Vec<Value> {
        let (stored, served) = self.answers(&line.split_whitespace().collect::<Vec<_>>());
        let lines = |answer: Answer| {
            let lines = answer.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
            lines
                .into_iter()
                .map(|mut line| {
                    line.as_object_mut().unwrap().retain(|name, _| !moments.contains(&name.as_str()));
                    line
                })
                .collect::<Vec<_>>()
        };
        let (stored, served) = (lines(stored), lines(served));
        assert_eq!(stored, served, "{line}");
        stored
    }
}

#[test]
fn reading_is_the_same() {
    let both = Both::new();
    assert_eq!(both.same("view user-activity", 0).lines().count(), 8);
    assert_eq!(both.same("view user-activity --prefix user-1", 0).lines().count(), 1);
    both.same("view user-activity user-1", 0);
    both.same_words(&["view", "user-activity", "a/b ?é"], 0);
    both.same("view user-activity user-1 --at 1760000000300", 0);
    both.same("view user-activity user-1 --at 2025-10-09T08:53:20.300Z", 0);
    both.same("view user-activity user-1 --at 1700000000000", 4);
    both.same("view user-activity nobody", 4);
    both.same("view nowhere user-1", 4);
    both.same("view nowhere", 4);
    assert_eq!(both.same("events user-activity user-2", 0).lines().count(), 101);
    both.same("events user-activity nobody", 4);
    for json in ["", " --json"] {
        both.same(&format!("explain user-activity user-1{json}"), 0);
        both.same(&format!("verify{json}"), 0);
        both.same(&format!("verify user-activity{json}"), 0);
        both.same(&format!("late list user-activity{json}"), 0);
        assert_eq!(
            both.same(&format!("quarantine list user-activity{json}"), 0).lines().count(),
            if json.is_empty() { 4 } else { 2 }
        );
    }
    both.same("explain user-activity nobody", 4);
    both.same("stats user-activity --json", 0);
    both.same("stats nowhere", 4);
    both.same("verify nowhere", 4);
    both.same("quarantine list nowhere", 4);
    both.same("quarantine show user-activity 00", 4);
    both.same("late list nowhere", 4);
    let id = both.same("quarantine list user-activity --json", 0)[7..39].to_owned();
    both.same(&format!("quarantine show user-activity {id}"), 0);
}

#[test]
fn a_quarantine_of_large_entries_is_listed_and_shown() {
    let home = Home::new(&user_activity("7d", 100));
    home.write("large", format!("{{\"id\":\"{}\n", "x".repeat(3 << 20)).repeat(2).replacen('x', "y", 1));
    home.millpond("run join.toml large").ok();
    home.copy("data", "served");
    let both = Both { server: Server::start(&home), home };
    let listed = both.same("quarantine list user-activity --json", 0);
    assert_eq!((listed.lines().count(), listed.matches("\"truncated\":true").count()), (2, 2));
    assert_eq!(both.same(&format!("quarantine show user-activity {}", &listed[7..39]), 0).len(), (3 << 20) + 8);
}

#[test]
fn views_are_chosen_by_their_documents_the_same_way() {
    let both = Both::new();
    for (conditions, found) in [
        (&["name = \"Ann \\\"A\\\"\""][..], 1),
        (&["recentOrderCount >= 100"], 7),
        (&["recentOrderCount >= 100", "lastLogin > 0"], 1),
        (&["recentOrderCount < 0"], 0),
    ] {
        let mut arguments = vec!["view", "user-activity"];
        arguments.extend(conditions.iter().flat_map(|condition| ["--where", condition]));
        assert_eq!(both.same_words(&arguments, 0).lines().count(), found, "{conditions:?}");
    }
}

#[test]
fn snapshots_trims_and_late_events_are_the_same() {
    let both = Both::new();
    both.same("snapshot user-activity user-1", 0);
    both.same("snapshot user-activity nobody", 4);
    both.same("snapshot user-activity --json", 0);
    both.same("snapshot user-activity", 0);
    both.same("events user-activity user-1", 0);
    both.same("explain user-activity user-1 --json", 0);
    both.same("trim user-activity user-1", 0);
    both.same("trim user-activity nobody", 4);
    both.same("trim user-activity --json", 0);
    both.same("trim nowhere", 4);
    both.same("events user-activity user-1", 0);
    both.same("view user-activity user-1 --at 1760000000300", 1);

    both.home.write(
        "late",
        [order(10_000, "user-1"), order(3, "user-1").replace("o-3", "o-x"), order(4, "user-2").replace("o-4", "o-y")]
            .join("\n"),
    );
    both.same_but_for("run join.toml late --json", &["seconds", "events_per_second"]);
    assert_eq!(both.same_but_for("late list user-activity --json", &["received_at"]).len(), 2);
    assert_eq!(both.same_but_for("late list user-activity user-2 --json", &["received_at"]).len(), 1);
    both.same("late accept user-activity user-1 1760000000003/o-x", 0);
    both.same("late accept user-activity user-1 1760000000003/o-x", 4);
    both.same("late drop user-activity nobody", 4);
    both.same("late drop user-activity user-2 --json", 0);
    both.same("late drop user-activity --all", 0);
    both.same("view user-activity", 0);
    both.same("verify", 0);
}

#[test]
fn quarantine_definitions_and_erasure_are_the_same() {
    let both = Both::new();
    both.same("quarantine retry user-activity --all", 0);
    let id = both.same("quarantine list user-activity --json", 0)[7..39].to_owned();
    both.same(&format!("quarantine retry user-activity {id} --json"), 0);
    both.same(&format!("quarantine drop user-activity {id}"), 0);
    both.same(&format!("quarantine drop user-activity {id}"), 4);
    both.same("quarantine drop user-activity --all --json", 0);

    for line in ["check join.toml", "check join.toml --json"] {
        let asked = both.home.millpond(&format!("{line} --server {}", both.server.url)).ok();
        assert_eq!(asked, both.home.millpond(line).ok());
    }
    both.same("rebuild join.toml --json", 0);
    both.home.write("changed.toml", user_activity("7d", 100).replace("lastLogin ", "lastSeen "));
    both.same("rebuild changed.toml --json", 0);
    both.same("view user-activity", 0);
    both.home.write(
        "fewer.toml",
        user_activity("7d", 100)
            .replace("\"user-created\"    = \"user.id\"\n", "")
            .replace("\"user-created\"", "\"user-loggedIn\""),
    );
    both.same("rebuild fewer.toml", 6);
    both.same("rebuild fewer.toml --drop-unnamed", 0);
    both.home.write("wrong.toml", "name = 1");
    both.same("rebuild wrong.toml", 2);
    both.home.write("other.toml", user_activity("7d", 100).replace("\"user-activity\"", "\"other\""));
    both.same("rebuild other.toml", 4);

    both.same("erase user-activity user-3", 2);
    both.same("erase user-activity user-3 --yes", 0);
    both.same("erase user-activity user-3 --yes", 4);
    both.same("view user-activity user-3", 4);
    both.same("erase user-activity user-4 --yes --json", 0);
    both.same("stats user-activity --json", 0);
    both.same("verify --json", 0);
}

#[test]
fn a_run_at_a_server_adds_the_join_and_never_rebuilds_by_itself() {
    let both = Both::new();
    let url = &both.server.url;
    both.home.write("other.toml", user_activity("7d", 100).replace("\"user-activity\"", "\"other\""));
    let run = both.home.millpond(&format!("run other.toml events pretty --server {url} --json")).json();
    assert_eq!((&run["received"], &run["keys"]), (&Value::from(706), &Value::from(8)), "{run}");
    let list = both.home.millpond(&format!("join list --server {url}")).ok();
    assert_eq!(list, "other: serving, 3 event types, 3 fields\nuser-activity: serving, 3 event types, 3 fields\n");
    both.home.write("changed.toml", user_activity("7d", 100).replace("lastLogin ", "lastSeen "));
    for command in ["run changed.toml events", "join add changed.toml"] {
        both.home.millpond(&format!("{command} --server {url}")).fails(6, &["millpond rebuild changed.toml --server"]);
    }
    both.home.millpond(&format!("join add join.toml --server {url}")).ok();
    both.home.millpond(&format!("join remove other --delete-data --server {url}")).ok();
    both.home.millpond(&format!("join remove other --server {url}")).fails(4, &["other"]);
    both.home.millpond(&format!("view other --server {url}")).fails(4, &["other"]);
}

#[test]
fn where_is_said_by_flags_before_the_environment() {
    let both = Both::new();
    let stats = |data: Option<&str>, server: Option<&str>, flags: &str| {
        let mut command = both.home.command(&format!("stats user-activity {flags}"));
        command.env_remove("MILLPOND_DATA");
        command.envs(data.map(|data| ("MILLPOND_DATA", data))).envs(server.map(|server| ("MILLPOND_SERVER", server)));
        Answer::of(flags, command.output().unwrap())
    };
    let url = both.server.url.as_str();
    stats(None, Some(url), "").ok();
    stats(Some("data"), Some("http://127.0.0.1:9"), "--data data").ok();
    stats(Some("nowhere"), None, &format!("--server {url}")).ok();
    stats(Some("data"), Some(url), "").fails(2, &["--data", "--server", "both"]);
    stats(None, None, "").fails(2, &["--data", "--server", "--help"]);
    stats(None, None, &format!("--data data --server {url}")).fails(2, &["cannot be used with"]);
    stats(None, None, "--server nonsense").fails(2, &["nonsense", "http://127.0.0.1:7717"]);
}
