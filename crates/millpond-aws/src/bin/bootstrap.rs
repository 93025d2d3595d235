//! What Lambda starts: one binary for all functions, whose name is in `_HANDLER`.
#![forbid(unsafe_code)]

use std::env;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use millpond_aws::aws::pace::Pace;
use millpond_aws::environment;
use millpond_aws::handlers::Invocation;
use millpond_aws::meter::Meter;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::{Instrument, Level};

/// What is left of an invocation's time when its calls are not tried again any more.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let level = variable("LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    let log = tracing_subscriber::fmt().json().flatten_event(true).with_max_level(level);
    log.without_time().with_target(false).init();
    let function = variable("_HANDLER").context("the environment has no _HANDLER")?;
    let package = PathBuf::from(variable("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".to_owned()));
    let clients = environment::clients(variable, environment::http())?;
    let deployment = environment::deployment(variable, &environment::definition(&package)?, clients)?;
    let (deployment, function) = (&deployment, &function);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let LambdaEvent { payload, context } = event;
        let left = context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let deadline = Instant::now() + left.saturating_sub(TIME_TO_ANSWER);
        let invocation = Invocation {
            now,
            pace: Pace::new(deadline, fastrand::u64(..)),
            meter: Meter::default(),
            trace: context.xray_trace_id,
        };
        let span = tracing::info_span!("invocation", request = context.request_id, trace = invocation.trace);
        let handle = Box::pin(deployment.handle(function, payload.get().as_bytes(), &invocation));
        let handled = handle.instrument(span).await;
        // A line of its own: that is how CloudWatch finds it.
        if let Some(line) = invocation.meter.line(&deployment.service, function, now()) {
            println!("{line}");
        }
        handled.map_err(|failed| Diagnostic { error_type: failed.kind().to_owned(), error_message: failed.to_string() })
    }))
    .await
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
