//! Watching goes on through restarts, and ends when nobody reads any more.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::Stdio;

use serde_json::Value;

use crate::common::{Home, user_activity};
use crate::order;
use crate::server::{Server, first_line, interrupt};

fn put(home: &Home, url: &str, events: &[String]) {
    home.write("more", events.join("\n"));
    home.millpond(&format!("put more --server {url}")).ok();
}

#[test]
fn changes_come_once_each_through_a_restart_and_a_crash() {
    let home = Home::new(&user_activity("7d", 100));
    let server = Server::start(&home);
    let url = server.url.clone();
    put(&home, &url, &[order(1, "ann"), order(2, "bob")]);
    let mut command = home.command(&format!("watch user-activity --from-start --json --server {url}"));
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, first) = first_line(&mut watch);
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut orders: BTreeMap<String, u64> = BTreeMap::new();
    let mut see = |line: &str| {
        let change: Value = serde_json::from_str(line).unwrap();
        let key = change["key"].as_str().unwrap().to_owned();
        let version = change["version"].as_u64().unwrap();
        let before = versions.insert(key.clone(), version);
        assert!(before.is_none_or(|before| before < version), "{before:?}, then {line}");
        orders.insert(key, change["document"]["recentOrderCount"].as_u64().unwrap());
        orders.clone()
    };
    let mut until = |first: Option<&str>, expected: &[(&str, u64)]| {
        let expected: BTreeMap<String, u64> = expected.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
        let mut seen = first.map(&mut see).unwrap_or_default();
        while seen != expected {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended with {seen:?}");
            seen = see(&line);
        }
    };
    until(Some(&first), &[("ann", 1), ("bob", 1)]);
    server.stop();
    let server = Server::again(&home, &url);
    put(&home, &url, &[order(3, "ann"), order(4, "cleo")]);
    until(None, &[("ann", 2), ("bob", 1), ("cleo", 1)]);
    server.kill();
    let _server = Server::again(&home, &url);
    put(&home, &url, &[order(5, "bob")]);
    until(None, &[("ann", 2), ("bob", 2), ("cleo", 1)]);
    assert!(interrupt(watch).success());
}

#[test]
fn it_ends_with_0_when_nobody_reads_any_more() {
    let home = Home::new(&user_activity("7d", 100));
    let server = Server::start(&home);
    put(&home, &server.url, &[order(1, "ann")]);
    let mut command = home.command(&format!("watch user-activity ann --from-start --server {}", server.url));
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let (out, line) = first_line(&mut watch);
    assert_eq!(line, "ann {\"id\":\"ann\",\"name\":\"**NOT SET**\",\"lastLogin\":0,\"recentOrderCount\":1}\n");
    drop(out);
    put(&home, &server.url, &[order(2, "ann")]);
    assert!(watch.wait().unwrap().success());
    home.millpond(&format!("watch nowhere --server {}", server.url)).fails(4, &["nowhere"]);
}
