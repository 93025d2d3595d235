//! `serve` as a process: what it refuses, how it starts and stops, and who may say what to it.
//!
//! `MILLPOND_CONNECTIONS=10000` makes the crowds as large as the server allows by default.
#![expect(clippy::unwrap_used, reason = "all of this is test code, its helpers too")]

#[expect(dead_code, reason = "the tests of files use more of it")]
mod common;
#[path = "common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use common::{Home, user_activity};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use server::{Peer, Server, until};

fn home() -> Home {
    Home::new(&user_activity("7d", 100))
}

fn login(number: u64) -> String {
    let user = number % 100;
    format!(
        r#"{{"id":"e-{number}","type":"user-loggedIn","timestamp":{},"user":{{"id":"user-{user}"}}}}"#,
        1_760_000_000_000 + number
    ) + "\n"
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    let home = home();
    home.write("none.ndjson", "");
    home.write("bad.toml", "name = \"user-activity\"\nlatenes = \"7d\"\n");
    home.write("worse.toml", "name = 7");
    home.write("again.toml", user_activity("6d", 100));
    home.write("changed.toml", user_activity("7d", 100).replace("recentOrderCount", "orders"));
    home.write("empty.pem", "");
    home.write("cert.pem", certificate().0);
    home.write("key.pem", certificate().1);
    home.millpond("run join.toml none.ndjson").ok();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let open = "--listen 0.0.0.0:0";
    for (line, code, says) in [
        ("bad.toml worse.toml".to_owned(), 2, &["bad.toml:", "latenes", "worse.toml:1"][..]),
        ("nowhere.toml".to_owned(), 1, &["nowhere.toml", "No such file"]),
        ("join.toml again.toml".to_owned(), 2, &["join.toml and again.toml", "`user-activity`"]),
        ("--data nowhere".to_owned(), 4, &["no data folder nowhere", "millpond serve JOIN.toml"]),
        ("changed.toml".to_owned(), 6, &["user-activity", "millpond rebuild", "--rebuild"]),
        (open.to_owned(), 2, &["--tls-cert", "millpond token add", "--insecure"]),
        (format!("{open} --tls-cert cert.pem"), 2, &["--tls-key"]),
        ("--tls-cert nowhere.pem --tls-key key.pem".to_owned(), 1, &["nowhere.pem"]),
        ("--tls-cert empty.pem --tls-key key.pem".to_owned(), 1, &["empty.pem has no certificate"]),
        ("--tls-cert cert.pem --tls-key empty.pem".to_owned(), 1, &["private key from empty.pem"]),
        ("--tls-cert cert.pem --tls-key key.pem".to_owned(), 1, &["cannot use cert.pem with the key in key.pem"]),
        (format!("--listen {taken}"), 1, &["cannot listen on", "--listen"]),
        ("--listen here".to_owned(), 2, &["--listen"]),
        ("--snapshot-age 5".to_owned(), 2, &["such as 12h"]),
        ("--connections-max 0".to_owned(), 2, &["--connections-max"]),
    ] {
        let listen = if line.contains("--listen") { "" } else { "--listen 127.0.0.1:0" }; // no fixed port
        home.millpond(&format!("serve {line} {listen}")).fails(code, says);
    }
    let _server = Server::start(&home, "");
    home.millpond("serve --listen 127.0.0.1:0").fails(5, &["in use by process"]);
}

#[test]
fn it_says_where_it_serves_and_tells_the_service_manager() {
    let home = home();
    let socket = home.path("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(server::LONG)).unwrap();
    let told = || {
        let mut bytes = [0; 100];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command = home.command("serve join.toml --listen 127.0.0.1:0 --log json");
    let errors = std::fs::File::create(home.path("serve.err")).unwrap();
    let command = command.env("NOTIFY_SOCKET", &socket).stderr(errors).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(told(), "READY=1");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(told(), "STOPPING=1");
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(out.starts_with("millpond: serving user-activity on http://127.0.0.1:"), "{out}");
    for line in std::fs::read_to_string(home.path("serve.err")).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string(), "{line}");
    }
}

/// Nobody read the log any more: saying "stopping" panicked, and the server never stopped.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let home = home();
    let mut command = home.command("serve join.toml --listen 127.0.0.1:0");
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut first = [0];
    assert_eq!(child.stdout.take().unwrap().read(&mut first).unwrap(), 1);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_empty_folder_is_served_and_says_how_to_add_a_join() {
    let home = home();
    std::fs::create_dir(home.path("data")).unwrap();
    let server = Server::start(&home, "");
    assert!(server.ready.contains("serving no joins yet on"), "{}", server.ready);
    server.signal(Signal::TERM);
    assert!(server.ends(0).contains("millpond join add"));
}

#[test]
fn a_changed_definition_is_served_after_a_rebuild() {
    let home = home();
    home.write("events.ndjson", login(1));
    home.millpond("run join.toml events.ndjson").ok();
    home.write("changed.toml", user_activity("7d", 100).replace("recentOrderCount", "orders"));
    let server = Server::start(&home, "changed.toml --rebuild");
    assert_eq!(server.get("/readyz", None).status, 200);
    server.signal(Signal::TERM);
    server.ends(0);
    assert!(home.millpond("view user-activity user-1").ok().contains("orders"));
}

#[test]
fn a_stop_amid_requests_loses_nothing_that_was_acknowledged() {
    const POSTERS: u64 = 8;
    const EVENTS: u64 = 20;
    let home = home();
    let acknowledged = Arc::new(AtomicU64::new(0));
    for round in 0..3 {
        let server = Server::start(&home, "join.toml");
        let before = acknowledged.load(Ordering::Relaxed);
        let posters: Vec<_> = (0..POSTERS)
            .map(|poster| {
                let (mut peer, acknowledged) = (server.connect(), Arc::clone(&acknowledged));
                thread::spawn(move || {
                    for batch in 0.. {
                        let first = ((round * POSTERS + poster) * 1_000_000 + batch) * EVENTS;
                        let body: String = (first..first + EVENTS).map(login).collect();
                        peer.begins_to_post(&body);
                        let Some(answer) = peer.ends_to_post(&body) else { return };
                        assert_eq!(answer.status, 200, "{answer:?}");
                        acknowledged.fetch_add(EVENTS, Ordering::Relaxed);
                        if answer.head.contains("connection: close") {
                            return;
                        }
                    }
                })
            })
            .collect();
        until(|| acknowledged.load(Ordering::Relaxed) > before + 10 * POSTERS * EVENTS);
        server.signal(Signal::TERM);
        server.ends(0);
        for poster in posters {
            let _ = poster.join(); // one that was about to ask meets a closed connection
        }
        let stats = home.millpond("stats user-activity --json").json();
        let accepted = stats["accepted"].as_u64().unwrap();
        let acknowledged = acknowledged.load(Ordering::Relaxed);
        // A batch may be in whose answer nobody read any more.
        assert!(accepted >= acknowledged, "{accepted} of {acknowledged}");
        assert_eq!((accepted % EVENTS, &stats["received"]), (0, &stats["accepted"]), "{stats}");
    }
    assert_eq!(home.millpond("verify --json").json()["differences"], 0);
}

#[test]
fn a_request_that_has_begun_is_answered_and_no_other_is_taken() {
    let home = home();
    let server = Server::start(&home, "join.toml");
    let (mut busy, mut idle, mut half) = (server.connect(), server.connect(), server.connect());
    let body = login(1);
    busy.begins_to_post(&body);
    assert_eq!(idle.get("/healthz", None).status, 200);
    half.says("GET /heal");
    server.signal(Signal::TERM);
    server.closed();
    assert!(idle.hears().is_none() && half.hears().is_none());
    let answer = busy.ends_to_post(&body).unwrap();
    assert!(answer.status == 200 && answer.head.contains("connection: close"), "{answer:?}");
    let said = server.ends(0);
    for step in ["stopping", "closing the joins", "stopped"] {
        assert!(said.contains(step), "{step}: {said}");
    }
    assert_eq!(home.millpond("stats user-activity --json").json()["accepted"], 1);
}

#[test]
fn requests_that_do_not_end_are_cut_and_a_second_signal_does_not_wait() {
    let home = home();
    let body = login(1);
    for (seconds, second, code, says) in [(0, None, 0, "did not end in time"), (100, Some(Signal::INT), 1, "at once")] {
        let server = Server::start(&home, &format!("join.toml --stop-seconds {seconds}"));
        let mut busy = server.connect();
        busy.begins_to_post(&body);
        // Until its head is read it is a connection like any other: that one, and this question.
        let both = |_| server.get("/metrics", None).body.contains("millpond_http_requests_in_progress 2\n");
        assert!((0..10_000).any(both), "the head is never read");
        server.signal(Signal::TERM);
        server.closed();
        if let Some(signal) = second {
            server.signal(signal);
        }
        let said = server.ends(code);
        assert!(said.contains(says), "{said}");
        assert!(busy.hears().is_none());
    }
    assert_eq!(home.millpond("stats user-activity --json").json()["received"], 0);
}

/// Keys name people, and a refusal told them to whoever reads the log.
#[test]
fn a_refusal_is_logged_by_its_route_and_without_the_key() {
    let home = home();
    home.millpond("token add page --scope admin").ok();
    let server = Server::start(&home, "join.toml");
    assert_eq!(server.get("/v1/views/user-activity/ann@example.org", None).status, 401);
    server.signal(Signal::TERM);
    let said = server.ends(0);
    let line = said.lines().find(|line| line.contains("denied")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("/v1/views/{join}/{key}") && !said.contains("ann@"), "{said}");
}

#[test]
fn a_head_that_is_too_large_and_what_is_no_http_are_refused_without_a_body() {
    let home = home();
    let server = Server::start(&home, "join.toml");
    let long = "k".repeat(40_000);
    for (request, status) in [
        (format!("GET /v1/views/user-activity/{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 431),
        (format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n"), 431),
        ("hello\r\n\r\n".to_owned(), 400),
    ] {
        let mut peer = server.connect();
        peer.says(&request);
        let heard = peer.hears().unwrap();
        assert_eq!((heard.status, heard.body.as_str()), (status, ""), "{}", heard.head);
    }
}

/// The connection was closed under whoever was still sending: the answer was lost, and the cause never known.
#[test]
fn a_refusal_reaches_one_who_is_still_sending() {
    let home = home();
    let server = Server::start(&home, "join.toml");
    let bytes = vec![b' '; 17 << 20];
    let head = |path: &str, more: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{more}content-length: {}\r\n\r\n", bytes.len())
    };
    let json = "content-type: application/json\r\n";
    for (path, kind, status) in [("/v1/events", json, 413), ("/v1/events", "", 415), ("/v1/nothing", json, 404)] {
        let mut peer = server.connect();
        peer.says(&head(path, kind));
        peer.0.write_all(&bytes).unwrap();
        assert_eq!(peer.hears().unwrap().status, status);
    }
    let mut peer = server.connect();
    peer.says("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n");
    peer.says(&format!("{json}\r\n{:x}\r\n", bytes.len()));
    peer.0.write_all(&bytes).unwrap();
    peer.says("\r\n0\r\n\r\n");
    assert_eq!(peer.hears().unwrap().status, 413);
    let mut peer = server.connect();
    peer.says(&head("/v1/events", &format!("{json}expect: 100-continue\r\n")));
    assert_eq!(peer.hears().unwrap().status, 413, "who asks first is not told to go on");
    server.signal(Signal::TERM);
    server.ends(0);
}

/// A certificate for `localhost` and its key, as PEM; and the certificate as bytes.
fn certificate() -> (String, String, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem(), cert.der().clone())
}

type TlsPeer = Peer<StreamOwned<ClientConnection, TcpStream>>;

/// Connects to the server if it has this certificate.
fn tls(server: &Server<'_>, certificate: &CertificateDer<'static>, alpn: &[&str]) -> Option<TlsPeer> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = server.connect().0;
    connection.complete_io(&mut stream).ok()?;
    Some(Peer(StreamOwned::new(connection, stream)))
}

#[test]
fn tls_is_spoken_and_a_new_certificate_is_taken() {
    let home = home();
    let (cert, key, first) = certificate();
    home.write("cert.pem", &cert);
    home.write("key.pem", &key);
    let server = Server::start(&home, "join.toml --tls-cert cert.pem --tls-key key.pem");
    assert!(server.ready.contains("https://"), "{}", server.ready);
    assert_eq!(tls(&server, &first, &[]).unwrap().get("/healthz", None).status, 200);
    let with_http2 = tls(&server, &first, &["h2", "http/1.1"]).unwrap();
    assert_eq!(with_http2.0.conn.alpn_protocol(), Some(&b"h2"[..]));
    assert!(tls(&server, &certificate().2, &[]).is_none(), "any certificate is taken here: the test is worth nothing");
    let mut plain = server.connect();
    plain.says("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(plain.hears().is_none());

    let (cert, key, second) = certificate();
    home.write("cert.pem", &cert); // not its key yet
    until(|| {
        assert!(tls(&server, &first, &[]).is_some(), "the old one must stay until both files are there");
        std::fs::read_to_string(home.path("serve.err")).unwrap().contains("those known before stay")
    });
    home.write("key.pem", &key);
    until(|| tls(&server, &second, &[]).is_some());
    server.signal(Signal::TERM);
    let said = server.ends(0);
    assert_eq!(said.matches("those known before stay").count(), 1, "{said}");
}

#[test]
fn tokens_are_exchanged_on_a_running_server() {
    let home = home();
    let add = |name: &str, scopes: &str| home.millpond(&format!("token add {name} {scopes}")).ok().trim().to_owned();
    let server = Server::start(&home, "join.toml");
    let joins = |token: Option<&str>| server.get("/v1/joins", token);
    assert_eq!(joins(None).status, 200, "without tokens, this machine is let in");

    let first = add("page", "--scope read");
    until(|| joins(None).status == 401);
    let denied = joins(None);
    assert!(denied.head.contains("www-authenticate: bearer"), "{denied:?}");
    assert!(denied.head.contains("application/problem+json") && denied.body.contains("urn:millpond:unauthorized"));
    assert_eq!(joins(Some(&first)).status, 200);
    assert_eq!(server.get("/healthz", None).status, 200, "whether it lives, anybody may ask");

    let second = add("page", "--scope read");
    until(|| joins(Some(&second)).status == 200);
    assert_eq!(joins(Some(&first)).status, 200, "both are live");
    let listed = home.millpond("token list").ok();
    let id = listed.split_whitespace().next().unwrap();
    assert!(!listed.contains(&first[3..]) && !listed.contains(&second[3..]), "{listed}");
    home.millpond("token add page --scope read").fails(1, &["has 2 tokens already", &format!("token remove {id}")]);
    home.millpond(&format!("token remove {id}")).ok();
    until(|| joins(Some(&first)).status == 401);
    assert_eq!(joins(Some(&second)).status, 200);

    let shop = add("shop", "--scope ingest --scope admin");
    until(|| joins(Some(&shop)).status == 403);
    assert!(joins(Some(&shop)).body.contains("scope `read`"), "{:?}", joins(Some(&shop)));

    home.write("data/tokens.toml", "version = 1\n[[token");
    until(|| {
        assert_eq!((joins(Some(&second)).status, joins(None).status), (200, 401), "those known before stay");
        std::fs::read_to_string(home.path("serve.err")).unwrap().contains("the tokens cannot be read")
    });
    server.signal(Signal::TERM);
    let said = server.ends(0);
    for secret in [&first, &second, &shop] {
        assert!(!said.contains(&secret[3..]), "a token is in the log");
    }
    home.millpond("serve join.toml --listen 127.0.0.1:0").fails(1, &["tokens.toml is damaged"]);
    home.millpond("token list").fails(1, &["tokens.toml is damaged"]);
}

#[test]
fn tokens_and_tls_are_enough_to_be_reached_from_elsewhere() {
    let home = home();
    let (cert, key, _) = certificate();
    home.write("cert.pem", &cert);
    home.write("key.pem", &key);
    let tls = "--tls-cert cert.pem --tls-key key.pem";
    for (line, code) in [(tls, 2), ("--insecure", 0)] {
        let mut command = home.command(&format!("serve join.toml --listen 0.0.0.0:0 {line}"));
        serves_or_ends(&mut command, code);
    }
    home.millpond("token add shop --scope ingest").ok();
    serves_or_ends(&mut home.command("serve join.toml --listen 0.0.0.0:0"), 2);
    serves_or_ends(&mut home.command(&format!("serve join.toml --listen 0.0.0.0:0 {tls}")), 0);
    home.millpond("token remove nobody").fails(4, &["token list"]);
    home.millpond("token add shop/1 --scope ingest").fails(1, &["cannot be a token's name"]);
    home.millpond("token add shop --scope write").fails(2, &["ingest, read, admin"]);
}

/// Starts it and, if it serves, stops it.
#[track_caller]
fn serves_or_ends(command: &mut std::process::Command, code: i32) {
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut first = [0];
    let serves = child.stdout.take().unwrap().read(&mut first).unwrap() == 1;
    assert_eq!(serves, code == 0);
    if serves {
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(code));
}

/// As many connections as the server has places for, and a quarter more.
struct Crowd {
    max: usize,
    size: usize,
}

impl Crowd {
    fn new() -> Self {
        let max = std::env::var("MILLPOND_CONNECTIONS").map_or(1_000, |text| text.parse().unwrap());
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).unwrap();
        Self { max, size: max + max / 4 }
    }
}

#[test]
fn crowds_that_ask_nothing_lock_nobody_out() {
    let home = home();
    let crowd = Crowd::new();
    let server = Server::start(&home, &format!("join.toml --connections-max {}", crowd.max));
    let mut reader = server.connect();
    assert_eq!(reader.get("/v1/changes/user-activity", None).status, 200);
    for (kind, says) in [
        ("silent", String::new()),
        ("half a head", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n".to_owned()),
        ("idle after a request", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned()),
        ("a head of 32 KiB", format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(32 << 10))),
    ] {
        let before = server.resident_bytes();
        let mut connections: Vec<TcpStream> = Vec::new();
        for _ in 0..crowd.size {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let _ = stream.write_all(says.as_bytes()); // one may be cut before it has said all
            connections.push(stream);
        }
        assert_eq!(server.get("/healthz", None).status, 200, "{kind}");
        let after = server.resident_bytes();
        let each = after.saturating_sub(before) / crowd.max as u64;
        eprintln!("{} connections, {kind}: {} MiB resident, {each} bytes each", crowd.max, after >> 20);
        assert!(each < 64 << 10, "{kind}: {each} bytes a connection");
    }
    let (mut poster, body) = (server.connect(), login(1));
    poster.begins_to_post(&body);
    assert_eq!(poster.ends_to_post(&body).unwrap().status, 200);
    let (mut heard, mut byte) = (String::new(), [0]);
    while !heard.ends_with("event: change") {
        let read = reader.0.read(&mut byte).unwrap();
        assert_eq!(read, 1, "a request in progress was cut for others; it heard {heard:?}");
        heard.push(char::from(byte[0]));
    }
    server.signal(Signal::TERM);
    server.ends(0);
}

#[test]
fn a_server_whose_places_are_all_busy_says_so() {
    let home = home();
    let server = Server::start(&home, "join.toml --connections-max 20");
    let body = login(1);
    let mut busy: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for peer in &mut busy {
        let head = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n";
        peer.says(&format!("{head}expect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len()));
        assert_eq!(peer.hears().unwrap().status, 100);
    }
    let mut refused = server.connect();
    refused.says("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let answer = refused.hears().unwrap();
    assert!(answer.status == 503 && answer.head.contains("retry-after"), "{answer:?}");
    for peer in &mut busy {
        peer.says(&body);
        assert_eq!(peer.hears().unwrap().status, 200);
    }
    assert_eq!(server.get("/healthz", None).status, 200);
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let home = home();
    let server = Server::start(&home, "join.toml");
    for head in [format!("x: {}\r\n", "x".repeat(40 << 10)), "x: y\r\n".repeat(200)] {
        let mut peer = server.connect();
        let _ = peer.0.write_all(format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{head}\r\n").as_bytes());
        assert!(peer.hears().is_none_or(|heard| heard.status == 431));
    }
    assert_eq!(server.get("/healthz", None).status, 200);
}
