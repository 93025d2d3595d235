//! Lambda, as far as the program of a function sees it: its environment, and the runtime interface.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::fake::{EVENTS, STREAM, VIEW};
use crate::http::{Request, read, write};

/// A function that runs.
pub struct Lambda {
    /// What an invocation may take; the function keeps its last second for its answer.
    pub timeout: Duration,
    /// Its process.
    pub function: Child,
    listener: TcpListener,
    connection: Option<(BufReader<TcpStream>, TcpStream)>,
}

/// What a function answered.
#[derive(Debug)]
pub struct Answer {
    /// Whether it did what it was to do.
    pub is_done: bool,
    /// What it said.
    pub body: Value,
}

/// Starts the program with the environment of a deployment whose services are at `endpoint`, and with other variables over it.
pub fn start(program: &Path, folder: &Path, runtime: &str, endpoint: &str, over: &[(&str, &str)]) -> Child {
    let queue = |name: &str| format!("{endpoint}/000000000000/{name}");
    Command::new(program)
        .env_clear()
        .envs([("AWS_LAMBDA_RUNTIME_API", runtime), ("AWS_REGION", "eu-central-1"), ("SERVICE", "dev-users")])
        .envs([("AWS_LAMBDA_FUNCTION_NAME", "f"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")])
        .envs([("AWS_LAMBDA_FUNCTION_VERSION", "1"), ("AWS_LAMBDA_LOG_STREAM_NAME", "s")])
        .envs([("AWS_LAMBDA_LOG_GROUP_NAME", "g"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")])
        .envs([("AWS_ENDPOINT_URL", endpoint), ("GENERATION", "1"), ("STREAM_NAME", STREAM)])
        .envs([("EVENTS_TABLE_NAME", EVENTS), ("VIEW_TABLE_NAME", VIEW), ("BUCKET_NAME", "b"), ("ARCHIVE", "off")])
        .envs([("LATE_QUEUE_URL", queue("late")), ("QUARANTINE_QUEUE_URL", queue("quarantine"))])
        .envs([("SNAPSHOT_QUEUE_URL", queue("snapshot")), ("TRIM_QUEUE_URL", queue("trim"))])
        .envs([("SNAPSHOTS_SINCE", "0"), ("MARGIN_SECONDS", "3600")])
        .env("LAMBDA_TASK_ROOT", folder)
        .envs(over.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

impl Lambda {
    /// Starts a function of the program; its definition is `join.toml` in the folder.
    #[must_use]
    pub fn start(program: &Path, folder: &Path, endpoint: &str, over: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let runtime = listener.local_addr().unwrap().to_string();
        let function = start(program, folder, &runtime, endpoint, over);
        Self { timeout: Duration::from_secs(60), function, listener, connection: None }
    }

    /// Waits until the function asks for work.
    pub fn wait(&mut self) {
        let request = self.request();
        assert!(request.path.ends_with("/invocation/next"), "{request:?}");
    }

    /// Hands a payload to a function that has asked for work, and waits until it asks for more.
    pub fn invoke(&mut self, payload: &str) -> Answer {
        let deadline = (SystemTime::now() + self.timeout).duration_since(UNIX_EPOCH).unwrap().as_millis();
        let headers = [
            ("lambda-runtime-aws-request-id", "8476a536".to_owned()),
            ("lambda-runtime-deadline-ms", deadline.to_string()),
            ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:f".to_owned()),
            ("lambda-runtime-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1".to_owned()),
        ];
        self.answer(200, &headers, payload.as_bytes());
        let request = self.request();
        self.answer(202, &[], b"");
        self.wait();
        let is_done = request.path.ends_with("/response");
        Answer { is_done, body: serde_json::from_slice(&request.body).unwrap_or_default() }
    }

    /// Stops the function; what it printed.
    #[must_use]
    pub fn stop(mut self) -> Output {
        self.function.kill().unwrap();
        self.function.wait_with_output().unwrap()
    }

    fn request(&mut self) -> Request {
        loop {
            if let Some(request) = self.connection.as_mut().and_then(|(reader, _)| read(reader)) {
                return request;
            }
            let (stream, _) = self.listener.accept().unwrap();
            self.connection = Some((BufReader::new(stream.try_clone().unwrap()), stream));
        }
    }

    fn answer(&mut self, status: u16, headers: &[(&str, String)], body: &[u8]) {
        let (_, stream) = self.connection.as_mut().unwrap();
        write(stream, status, headers, body);
    }
}
