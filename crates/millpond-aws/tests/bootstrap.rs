//! The program that Lambda starts, with the runtime interface that Lambda has: what is handed over,
//! what is answered, and what is said when it cannot start.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

const DEFINITION: &str = include_str!("../../../examples/user-activity/join.toml");
/// What an invocation may take; the last second is for its answer.
const TIMEOUT: Duration = Duration::from_millis(1_200);

/// What a function sends to the runtime interface.
struct Request {
    path: String,
    body: Value,
}

/// Lambda, as far as a function sees it.
struct Lambda {
    listener: TcpListener,
    function: Child,
}

fn start(folder: &Path, runtime: &str, environment: &[(&str, &str)]) -> Child {
    std::fs::write(folder.join("join.toml"), DEFINITION).unwrap();
    let url = "http://127.0.0.1:1/queue";
    Command::new(env!("CARGO_BIN_EXE_bootstrap"))
        .env_clear()
        .envs([("AWS_LAMBDA_RUNTIME_API", runtime), ("AWS_REGION", "eu-central-1"), ("SERVICE", "dev-users")])
        .envs([("AWS_LAMBDA_FUNCTION_NAME", "f"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")])
        .envs([("AWS_LAMBDA_FUNCTION_VERSION", "1"), ("AWS_LAMBDA_LOG_STREAM_NAME", "s")])
        .envs([("AWS_LAMBDA_LOG_GROUP_NAME", "g"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")])
        .envs([("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("GENERATION", "1"), ("STREAM_NAME", "s")])
        .envs([("EVENTS_TABLE_NAME", "e"), ("VIEW_TABLE_NAME", "v"), ("BUCKET_NAME", "b"), ("ARCHIVE", "off")])
        .envs([("LATE_QUEUE_URL", url), ("QUARANTINE_QUEUE_URL", url), ("SNAPSHOT_QUEUE_URL", url)])
        .envs([("TRIM_QUEUE_URL", url), ("SNAPSHOTS_SINCE", "0"), ("MARGIN_SECONDS", "3600")])
        .env("LAMBDA_TASK_ROOT", folder)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Lambda {
    fn start(folder: &Path, handler: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let runtime = listener.local_addr().unwrap().to_string();
        let function = start(folder, &runtime, &[("_HANDLER", handler), ("LOG_LEVEL", "debug")]);
        Self { listener, function }
    }

    /// Hands over payloads one after the other; what came back for each.
    fn invoke(self, payloads: &[Value]) -> (Vec<Request>, Output) {
        let Self { listener, mut function } = self;
        let mut answers = Vec::new();
        let mut next = payloads.iter();
        'connections: loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read(&mut reader) {
                if !request.path.ends_with("/invocation/next") {
                    answers.push(request);
                    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
                    continue;
                }
                let Some(payload) = next.next() else { break 'connections };
                hand_over(&mut stream, &payload.to_string());
            }
        }
        function.kill().unwrap();
        (answers, function.wait_with_output().unwrap())
    }
}

fn hand_over(stream: &mut TcpStream, payload: &str) {
    let deadline = (SystemTime::now() + TIMEOUT).duration_since(UNIX_EPOCH).unwrap().as_millis();
    let head = format!(
        "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 8476a536\r\nlambda-runtime-deadline-ms: {deadline}\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:123456789012:function:f\r\n\
         lambda-runtime-trace-id: Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        payload.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(payload.as_bytes()).unwrap();
}

/// Reads a request; `None` when there is no other.
fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return None;
    }
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Some(Request { path, body: serde_json::from_slice(&body).unwrap_or_default() })
}

#[test]
fn a_function_answers_what_it_is_handed_and_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let other = json!({"Records": [{"eventName": "REMOVE", "eventSource": "aws:dynamodb", "dynamodb": {}}]});
    let none: Value = serde_json::from_str(include_str!("payloads/test-invoke.json")).unwrap();
    let poison = json!({"Records": [{"eventName": "INSERT"}]});
    let (answers, output) = Lambda::start(folder.path(), "trigger").invoke(&[other.clone(), none, poison, other]);
    let paths: Vec<&str> = answers.iter().map(|answer| answer.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(paths, ["response", "error", "error", "response"]);
    assert_eq!(answers[0].body, json!({"batchItemFailures": []}));
    assert_eq!(answers[1].body["errorType"], "InvalidPayload");
    let message = answers[1].body["errorMessage"].as_str().unwrap();
    assert!(message.contains("expected an event of a DynamoDB stream with `Records`"), "{message}");
    // What cannot be kept must come again: there is no queue here.
    assert_eq!(answers[2].body["errorType"], "Unavailable", "{}", answers[2].body);
    assert_eq!(answers[3].body, json!({"batchItemFailures": []}));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fault = lines.iter().find(|line| line["message"] == "a record cannot be read").unwrap();
    assert_eq!((&fault["level"], fault["fault"].as_str()), (&json!("ERROR"), Some("`dynamodb` is missing")));
    assert!(fault["span"]["trace"].as_str().unwrap().starts_with("Root=1-5759e988"), "{fault}");
}

#[test]
fn a_function_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for (environment, why) in [
        (&[][..], "the environment has no _HANDLER"),
        (&[("_HANDLER", "trim"), ("TRIM_QUEUE_URL", "")], "the environment has no TRIM_QUEUE_URL"),
        (&[("_HANDLER", "trim"), ("MARGIN_SECONDS", "soon")], "MARGIN_SECONDS is `soon`, and no number"),
        (&[("_HANDLER", "trim"), ("LAMBDA_TASK_ROOT", "/nowhere")], "reading /nowhere/join.toml"),
    ] {
        let output = start(folder.path(), "127.0.0.1:1", environment).wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{said}");
    }
}
