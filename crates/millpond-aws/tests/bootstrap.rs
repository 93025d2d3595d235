//! The program that Lambda starts, with the runtime interface that Lambda has: what is handed over,
//! what is answered, and what is said when it cannot start.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::path::Path;
use std::time::Duration;

use millpond_aws_testkit::lambda::{Answer, Lambda, start};
use serde_json::{Value, json};

const DEFINITION: &str = include_str!("../../../examples/user-activity/join.toml");
const NOWHERE: &str = "http://127.0.0.1:1";

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bootstrap"))
}

fn package() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("join.toml"), DEFINITION).unwrap();
    folder
}

#[test]
fn a_function_answers_what_it_is_handed_and_says_what_it_did() {
    let folder = package();
    let other = json!({"Records": [{"eventName": "REMOVE", "eventSource": "aws:dynamodb", "dynamodb": {}}]});
    let none: Value = serde_json::from_str(include_str!("payloads/test-invoke.json")).unwrap();
    let poison = json!({"Records": [{"eventName": "INSERT"}]});
    let mut lambda = Lambda::start(program(), folder.path(), NOWHERE, &[("_HANDLER", "trigger")]);
    // A fifth of a second to try again, and a second for the answer.
    lambda.timeout = Duration::from_millis(1_200);
    lambda.wait();
    for payload in [&other, &other] {
        let Answer { is_done, body } = lambda.invoke(&payload.to_string());
        assert!(is_done && body == json!({"batchItemFailures": []}), "{body}");
    }
    let Answer { is_done, body } = lambda.invoke(&none.to_string());
    assert!(!is_done && body["errorType"] == "InvalidPayload", "{body}");
    let message = body["errorMessage"].as_str().unwrap();
    assert!(message.contains("expected an event of a DynamoDB stream with `Records`"), "{message}");
    // What cannot be kept must come again: there is no queue here.
    let Answer { is_done, body } = lambda.invoke(&poison.to_string());
    assert!(!is_done && body["errorType"] == "Unavailable", "{body}");
    assert!(lambda.invoke(&other.to_string()).is_done, "and what comes next is done");

    let said = String::from_utf8(lambda.stop().stdout).unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fault = lines.iter().find(|line| line["message"] == "a record cannot be read").unwrap();
    assert_eq!((&fault["level"], fault["fault"].as_str()), (&json!("ERROR"), Some("`dynamodb` is missing")));
    assert!(fault["span"]["trace"].as_str().unwrap().starts_with("Root=1-5759e988"), "{fault}");
}

#[test]
fn a_function_that_cannot_start_says_why() {
    let folder = package();
    for (over, why) in [
        (&[][..], "the environment has no _HANDLER"),
        (&[("_HANDLER", "trim"), ("TRIM_QUEUE_URL", "")], "the environment has no TRIM_QUEUE_URL"),
        (&[("_HANDLER", "trim"), ("AWS_ACCESS_KEY_ID", "")], "the environment has no AWS_ACCESS_KEY_ID"),
        (&[("_HANDLER", "trim"), ("MARGIN_SECONDS", "soon")], "MARGIN_SECONDS is `soon`, and no number"),
        (&[("_HANDLER", "trim"), ("LAMBDA_TASK_ROOT", "/nowhere")], "reading /nowhere/join.toml"),
    ] {
        let output = start(program(), folder.path(), "127.0.0.1:1", NOWHERE, over).wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{said}");
    }
}
