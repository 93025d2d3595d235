//! Giving events to a server, through whatever happens to it.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::common::{Answer, Home, user_activity};
use crate::order;
use crate::server::Server;

fn accepted(home: &Home, url: &str) -> u64 {
    home.millpond(&format!("stats user-activity --server {url} --json")).json()["accepted"].as_u64().unwrap()
}

#[test]
fn a_server_that_is_killed_and_started_again_loses_and_doubles_nothing() {
    const EVENTS: usize = 6_000;
    let home = Home::new(&user_activity("7d", 100));
    let events: Vec<String> = (0..EVENTS).map(|number| order(number, &format!("user-{}", number % 9)) + "\n").collect();
    home.write("events", events.concat());
    let offline = home.millpond("run join.toml events --json").json();
    assert_eq!(offline["accepted"], EVENTS);

    let mut server = Server::start(&home);
    let url = server.url.clone();
    let mut command = home.command(&format!("put - --join user-activity --server {url} --batch 50 --json"));
    let mut put = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = put.stdin.take().unwrap();
    for part in events.chunks(EVENTS / 3) {
        input.write_all(part.concat().as_bytes()).unwrap();
        let before = accepted(&home, &url);
        while accepted(&home, &url) == before && before < EVENTS as u64 / 3 {}
        server.kill();
        server = Server::again(&home, &url);
    }
    drop(input);
    let summary = Answer::of("put", put.wait_with_output().unwrap()).json();
    assert_eq!(
        summary["accepted"].as_u64().unwrap() + summary["duplicate"].as_u64().unwrap(),
        EVENTS as u64,
        "{summary}"
    );
    assert_eq!(accepted(&home, &url), EVENTS as u64);
    let views = home.millpond(&format!("view user-activity --server {url}")).ok();
    assert_eq!(views, home.millpond("view user-activity").ok());
    home.millpond(&format!("verify --server {url}")).ok();
    server.stop();
}

#[test]
fn what_is_no_event_is_quarantined_and_what_is_no_piece_is_not_sent() {
    let home = Home::new(&user_activity("7d", 100));
    let server = Server::start(&home);
    let url = &server.url;
    home.write("bad", [order(1, "ann"), "{\"id\":".into(), "nonsense".into(), order(2, "ann")].join("\n"));
    let put: Value = home.millpond(&format!("put bad --server {url} --json")).json();
    assert_eq!((&put["received"], &put["accepted"], &put["quarantined"]), (&4.into(), &2.into(), &2.into()), "{put}");
    let text = home.millpond(&format!("put bad --join user-activity --server {url}")).ok();
    assert!(
        text.contains("duplicate    2") && text.contains(&format!("quarantine list user-activity --server {url}")),
        "{text}"
    );

    home.write("unclosed", format!("[{},\n{}", order(3, "ann"), &order(4, "ann")[..30]));
    let answer = home.millpond(&format!("put unclosed --server {url}"));
    answer.fails(1, &["unclosed, line 2", "expected `]`", "1 piece was no event and was not sent"]);
    assert_eq!(accepted(&home, url), 3);

    home.millpond(&format!("put bad --join nowhere --server {url}")).fails(4, &["nowhere"]);
    home.millpond(&format!("put nothing --server {url}")).fails(1, &["nothing"]);
    server.stop();
    home.millpond("put bad --server http://127.0.0.1:9 --retry-seconds 0").fails(1, &["127.0.0.1:9", "millpond serve"]);
}

#[test]
fn an_event_without_id_and_timestamp_is_given_them() {
    let home = Home::new(&user_activity("7d", 100));
    let server = Server::start(&home);
    let url = &server.url;
    home.write("bare", "{\"type\":\"order-submitted\",\"order\":{\"userId\":\"ann\"}}\n".repeat(3));
    let put = home.millpond(&format!("put bare --fill --server {url} --json")).json();
    assert_eq!((&put["accepted"], &put["quarantined"]), (&3.into(), &0.into()), "{put}");
    let events = home.millpond(&format!("events user-activity ann --server {url}")).ok();
    assert_eq!(events.lines().count(), 3);
}

#[test]
fn what_comes_through_a_pipe_is_sent_as_it_comes() {
    let home = Home::new(&user_activity("7d", 100));
    let server = Server::start(&home);
    let url = &server.url;
    let mut put = home.command(&format!("put - --server {url}")).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = put.stdin.take().unwrap();
    for number in 1..=3 {
        writeln!(input, "{}", order(number, "ann")).unwrap();
        while accepted(&home, url) < number as u64 {}
    }
    drop(input);
    assert!(put.wait().unwrap().success());
}
