//! A deployment as its commands reach it: what its stack says, and the clients.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::Stack;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::Instant;

use super::Place;
use crate::aws::error::said;
use crate::aws::pace::Pace;
use crate::environment;
use crate::handlers::{Deployment, Invocation};
use crate::meter::Meter;

/// How long a command tries again.
const PATIENCE: Duration = Duration::from_secs(60);

/// As the template has them.
const STAGE_CHARS_MAX: usize = 10;
const SERVICE_CHARS_MAX: usize = 24;

/// A stack, or what is known of one that is not there yet.
pub(super) struct Stacks {
    pub(super) config: SdkConfig,
    pub(super) cloudformation: aws_sdk_cloudformation::Client,
    pub(super) stage: String,
    pub(super) service: String,
}

/// A deployment.
pub(super) struct Session {
    pub(super) stacks: Stacks,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) deployment: Deployment,
}

/// Whose, and where.
pub(super) struct Account {
    pub(super) number: String,
    pub(super) region: String,
}

/// What a stack was given, by name.
pub(super) fn parameters(stack: &Stack) -> BTreeMap<String, String> {
    let pair = |parameter: &aws_sdk_cloudformation::types::Parameter| {
        Some((parameter.parameter_key()?.to_owned(), parameter.parameter_value()?.to_owned()))
    };
    stack.parameters().iter().filter_map(pair).collect()
}

impl Stacks {
    pub(super) async fn open(place: &Place, service: &str) -> Result<Self> {
        check("stage", &place.stage, STAGE_CHARS_MAX)?;
        check("service", service, SERVICE_CHARS_MAX)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(environment::http());
        if let Some(url) = &place.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = &place.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = loader.load().await;
        let cloudformation = aws_sdk_cloudformation::Client::new(&config);
        Ok(Self { config, cloudformation, stage: place.stage.clone(), service: service.to_owned() })
    }

    /// The stack's name.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.stage, self.service)
    }

    /// The tables' names.
    pub(super) fn tables(&self) -> [String; 2] {
        ["events", "view"].map(|table| format!("{}-{table}", self.name()))
    }

    /// The bucket's name.
    pub(super) async fn bucket(&self) -> Result<String> {
        let Account { number, region } = self.account().await?;
        Ok(format!("{}-{number}-{region}", self.name()))
    }

    /// The bucket of all packages of an account, in a region.
    pub(super) async fn packages_bucket(&self) -> Result<String> {
        let Account { number, region } = self.account().await?;
        Ok(format!("millpond-packages-{number}-{region}"))
    }

    /// Asks whose credentials these are.
    pub(super) async fn account(&self) -> Result<Account> {
        let region = self.config.region().context("which region? Give --region, or set AWS_REGION")?.to_string();
        let identity = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await.map_err(told);
        let number = identity.context("who are you at AWS?")?.account.context("the account has no number")?;
        Ok(Account { number, region })
    }

    /// A client of S3.
    pub(super) fn s3(&self) -> aws_sdk_s3::Client {
        environment::clients_of(&self.config).s3
    }

    /// The stack; `None` if there is none.
    pub(super) async fn stack(&self) -> Result<Option<Stack>> {
        match self.cloudformation.describe_stacks().stack_name(self.name()).send().await {
            Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
            Err(error) if error.message().is_some_and(|message| message.contains("does not exist")) => Ok(None),
            Err(error) => bail!("asking for the stack {}: {}", self.name(), said(&error)),
        }
    }
}

impl Session {
    pub(super) async fn open(place: &Place) -> Result<Self> {
        let stacks = Stacks::open(place, service(place)?).await?;
        let stack = stacks.stack().await?;
        let stack = stack.with_context(|| {
            let name = stacks.name();
            format!("there is no stack {name}: `millpond-aws deploy JOIN.toml --stage {}` makes one", stacks.stage)
        })?;
        let output = |output: &aws_sdk_cloudformation::types::Output| {
            Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
        };
        let outputs: BTreeMap<String, String> = stack.outputs().iter().filter_map(output).collect();
        let parameters = parameters(&stack);
        if outputs.is_empty() {
            let status = stack.stack_status().map_or("unknown", |status| status.as_str());
            bail!("the stack {} is not complete: {status}", stacks.name());
        }
        let clients = environment::clients_of(&stacks.config);
        let variable = |name: &str| {
            Some(match name {
                "SERVICE" => stacks.name(),
                "GENERATION" => parameters.get("Generation")?.clone(),
                "STREAM_NAME" => outputs.get("Stream")?.clone(),
                "EVENTS_TABLE_NAME" => outputs.get("EventsTable")?.clone(),
                "VIEW_TABLE_NAME" => outputs.get("ViewTable")?.clone(),
                "LATE_QUEUE_URL" => outputs.get("LateQueue")?.clone(),
                "QUARANTINE_QUEUE_URL" => outputs.get("QuarantineQueue")?.clone(),
                "SNAPSHOT_QUEUE_URL" => outputs.get("SnapshotQueue")?.clone(),
                "TRIM_QUEUE_URL" => outputs.get("TrimQueue")?.clone(),
                "BUCKET_NAME" => outputs.get("Bucket")?.clone(),
                "SNAPSHOTS_SINCE" => parameters.get("SnapshotsSince")?.clone(),
                "MARGIN_SECONDS" => parameters.get("MarginSeconds")?.clone(),
                "ARCHIVE" => parameters.get("Archive")?.clone(),
                _ => return None,
            })
        };
        let code = |name: &str| parameters.get(name).with_context(|| format!("the stack has no parameter {name}"));
        let definition = super::package::definition_object(code("CodeKey")?);
        let object = clients.s3.get_object().bucket(code("CodeBucket")?).key(&definition).send().await;
        let object = object.map_err(told);
        let object = object.with_context(|| format!("reading the definition, {definition}"))?;
        let definition = String::from_utf8(object.body.collect().await?.to_vec())?;
        let deployment = environment::deployment(variable, &definition, clients)?;
        Ok(Self { stacks, parameters, outputs, deployment })
    }

    /// As if a function was invoked.
    pub(super) fn invocation(&self) -> Invocation {
        let pace = Pace::new(Instant::now() + PATIENCE, fastrand::u64(..));
        Invocation { now, pace, meter: Meter::default(), trace: None }
    }

    /// The full name of a function.
    pub(super) fn function(&self, function: &str) -> String {
        format!("{}-{function}", self.stacks.name())
    }
}

/// The service that was named.
pub(super) fn service(place: &Place) -> Result<&str> {
    place.service.as_deref().context("which deployment? Give --service NAME, or set MILLPOND_SERVICE")
}

/// Whether AWS takes a name as a part of others: a bucket's has 63 characters, account and region among them.
fn check(option: &str, name: &str, chars_max: usize) -> Result<()> {
    let is_right = name.len() <= chars_max
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-');
    ensure!(
        is_right,
        "`{name}` cannot be part of AWS's names: give --{option} with up to {chars_max} small letters, digits and \
         hyphens, a letter first"
    );
    Ok(())
}

/// A failure of AWS, in one line.
pub(super) fn told<E>(error: SdkError<E, HttpResponse>) -> anyhow::Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    anyhow::anyhow!(said(&error))
}

/// Milliseconds since 1970 UTC.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
