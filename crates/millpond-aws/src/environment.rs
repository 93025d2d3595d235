//! What a function finds out about its deployment when it starts: from its environment, and from
//! the definition in its package.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use millpond_core::Join;

use crate::aws::queues::QueueUrls;
use crate::aws::store::Tables;
use crate::handlers::{Clients, Deployment, Snapshots};

/// The definition's name in the package.
pub const DEFINITION: &str = "join.toml";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// One attempt of a call; how often there is another is ours to say.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads what is said in environment variables.
///
/// # Errors
/// Which variable is missing or wrong, or what is wrong with the definition.
pub fn deployment(variable: impl Fn(&str) -> Option<String>, definition: &str, clients: Clients) -> Result<Deployment> {
    let text = |name: &str| variable(name).with_context(|| format!("the environment has no {name}"));
    let number = |name: &str| -> Result<u64> {
        let value = text(name)?;
        u64::from_str(&value).with_context(|| format!("{name} is `{value}`, and no number"))
    };
    let join = Join::parse(definition).map_err(|faults| anyhow::anyhow!("the definition is wrong:\n{faults}"))?;
    Ok(Deployment {
        join,
        generation: number("GENERATION")?,
        service: text("SERVICE")?,
        stream: text("STREAM_NAME")?,
        tables: Tables { events: text("EVENTS_TABLE_NAME")?, view: text("VIEW_TABLE_NAME")? },
        queues: QueueUrls {
            late: text("LATE_QUEUE_URL")?,
            quarantine: text("QUARANTINE_QUEUE_URL")?,
            snapshot: text("SNAPSHOT_QUEUE_URL")?,
            trim: text("TRIM_QUEUE_URL")?,
        },
        bucket: text("BUCKET_NAME")?,
        archive: text("ARCHIVE")? == "on",
        snapshots: match number("SNAPSHOTS_SINCE")? {
            0 => Snapshots::Off,
            since => Snapshots::Since(since),
        },
        margin_ms: number("MARGIN_SECONDS")? * 1000,
        clients,
    })
}

/// The definition in a package.
///
/// # Errors
/// If it cannot be read.
pub fn definition(package: &Path) -> Result<String> {
    let path = package.join(DEFINITION);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// The clients of a function, whose credentials and region are in its environment.
///
/// # Errors
/// Which variable is missing.
pub fn clients(variable: impl Fn(&str) -> Option<String>, http: SharedHttpClient) -> Result<Clients> {
    let text = |name: &str| variable(name).with_context(|| format!("the environment has no {name}"));
    let (id, secret) = (text("AWS_ACCESS_KEY_ID")?, text("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "Environment");
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT);
    // Not by the chain of providers that a command needs: it is a third of the program, and of its start.
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(text("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build());
    config.set_endpoint_url(variable("AWS_ENDPOINT_URL"));
    Ok(clients_of(&config.build()))
}

/// The clients of a configuration.
#[must_use]
pub fn clients_of(config: &SdkConfig) -> Clients {
    let is_elsewhere = config.endpoint_url().is_some();
    // A bucket's name is only part of the host where AWS's own names resolve.
    let s3 = aws_sdk_s3::config::Builder::from(config).force_path_style(is_elsewhere).build();
    Clients {
        dynamo: aws_sdk_dynamodb::Client::new(config),
        kinesis: aws_sdk_kinesis::Client::new(config),
        sqs: aws_sdk_sqs::Client::new(config),
        s3: aws_sdk_s3::Client::from_conf(s3),
    }
}

/// HTTP with the machine's certificates.
#[must_use]
pub fn http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
