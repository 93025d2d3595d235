//! `deploy`: uploads the package, shows what would change, changes it, and tells how it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_cloudformation::error::DisplayErrorContext;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, OnStackFailure, Parameter, ResourceChange, Stack, StackStatus,
};
use clap::{Args, ValueEnum};

use super::Place;
use super::package::{Made, Parts, definition_object, object, service_name};
use super::session::{Stacks, now, parameters};

/// The whole deployment.
const TEMPLATE: &str = include_str!("../../../../deploy/aws/template.yaml");

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long CloudFormation may take for a change set, and for a stack.
const CHANGE_SET_LOOKS_MAX: u32 = 150;
const STACK_LOOKS_MAX: u32 = 1800;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Args)]
pub(super) struct Deploy {
    #[command(flatten)]
    parts: Parts,
    /// Shards of the stream
    #[arg(long)]
    shards: Option<u32>,
    /// How long the stream keeps its records, in hours
    #[arg(long, value_name = "HOURS")]
    retention: Option<u32>,
    /// Whether history is closed; off while it is loaded for the first time
    #[arg(long, value_enum)]
    snapshots: Option<Switch>,
    /// How long a write may still be under way, in seconds
    #[arg(long, value_name = "SECONDS")]
    margin: Option<u32>,
    /// Whether trimmed events are kept in the bucket
    #[arg(long, value_enum)]
    archive: Option<Switch>,
    /// Memory of a function, in MB
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// An SNS topic to tell of alarms
    #[arg(long, value_name = "ARN")]
    alarm_topic: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

impl Deploy {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let Made { join, bytes } = self.parts.make()?;
        let service = service_name(place.service.as_deref().unwrap_or(join.name()))?;
        let stacks = Stacks::open(place, &service).await;
        let stack = stacks.stack().await?;
        let before = stack.as_ref().map(parameters).unwrap_or_default();
        let bucket = packages(&stacks).await?;
        let key = object(&service, &bytes);
        upload(&stacks, &bucket, &key, bytes).await?;
        upload(&stacks, &bucket, &definition_object(&key), join.source_text().as_bytes().to_vec()).await?;
        println!("package: s3://{bucket}/{key}");
        let given = self.parameters(place, &stacks, &before, &bucket, &key);
        let is_new = stack.as_ref().is_none_or(|stack| stack.stack_status() == Some(&StackStatus::ReviewInProgress));
        let Some(change_set) = change_set(&stacks, is_new, &given).await? else {
            println!("{} is as it should be: nothing to change", stacks.name());
            return Ok(());
        };
        if self.dry_run {
            discard(&stacks, &change_set, is_new).await?;
            return Ok(());
        }
        if !self.yes && !confirmed(&format!("change the stack {}?", stacks.name()))? {
            discard(&stacks, &change_set, is_new).await?;
            bail!("nothing was changed");
        }
        let execute = stacks.cloudformation.execute_change_set().stack_name(stacks.name()).change_set_name(&change_set);
        execute.send().await.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
        let stack = follow(&stacks).await?.context("the stack is gone")?;
        for output in stack.outputs() {
            println!("{}: {}", output.output_key().unwrap_or_default(), output.output_value().unwrap_or_default());
        }
        Ok(())
    }

    /// What the template is given: what was said now, or else what was before, or else its defaults.
    fn parameters(
        &self,
        place: &Place,
        stacks: &Stacks,
        before: &BTreeMap<String, String>,
        bucket: &str,
        key: &str,
    ) -> BTreeMap<String, String> {
        let mut given = BTreeMap::new();
        let mut say = |name: &str, value: Option<String>| {
            if let Some(value) = value.or_else(|| before.get(name).cloned()) {
                given.insert(name.to_owned(), value);
            }
        };
        let switch = |switch: Switch| if switch == Switch::On { "on" } else { "off" }.to_owned();
        let number = |name: &str| before.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
        let since = number("SnapshotsSince");
        // Another package may have another definition: its views are not the older one's to write.
        let is_other = before.get("CodeKey").is_none_or(|before| before != key);
        say("Stage", Some(stacks.stage.clone()));
        say("Service", Some(stacks.service.clone()));
        say("CodeBucket", Some(bucket.to_owned()));
        say("CodeKey", Some(key.to_owned()));
        say("Architecture", Some(self.parts.architecture.name().to_owned()));
        say("Generation", Some((number("Generation") + u64::from(is_other)).to_string()));
        say("Shards", self.shards.map(|shards| shards.to_string()));
        say("RetentionHours", self.retention.map(|hours| hours.to_string()));
        say(
            "SnapshotsSince",
            self.snapshots.map(|snapshots| match snapshots {
                Switch::Off => "0".to_owned(),
                Switch::On if since > 0 => since.to_string(),
                Switch::On => now().to_string(),
            }),
        );
        say("MarginSeconds", self.margin.map(|seconds| seconds.to_string()));
        say("Archive", self.archive.map(switch));
        say("MemoryMegabytes", self.memory.map(|megabytes| megabytes.to_string()));
        say("AlarmTopic", self.alarm_topic.clone());
        say("EndpointUrl", place.endpoint_url.clone());
        given
    }
}

/// The bucket that packages are in, made if it is not there.
async fn packages(stacks: &Stacks) -> Result<String> {
    let sts = aws_sdk_sts::Client::new(&stacks.config);
    let identity = sts.get_caller_identity().send().await;
    let identity = identity.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)));
    let account = identity.context("who are you at AWS?")?.account.context("the account has no number")?;
    let region = stacks.config.region().context("which region? Give --region, or set AWS_REGION")?.to_string();
    let bucket = format!("millpond-packages-{account}-{region}");
    let s3 = crate::environment::clients_of(&stacks.config).s3;
    if s3.head_bucket().bucket(&bucket).send().await.is_ok() {
        return Ok(bucket);
    }
    let mut create = s3.create_bucket().bucket(&bucket);
    if region != "us-east-1" {
        let constraint = aws_sdk_s3::types::BucketLocationConstraint::from(region.as_str());
        let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(constraint);
        create = create.create_bucket_configuration(place.build());
    }
    let created = create.send().await.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)));
    created.with_context(|| format!("making the bucket {bucket}"))?;
    Ok(bucket)
}

async fn upload(stacks: &Stacks, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<()> {
    let s3 = crate::environment::clients_of(&stacks.config).s3;
    let put = s3.put_object().bucket(bucket).key(key).body(bytes.into()).send().await;
    put.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))
        .with_context(|| format!("uploading s3://{bucket}/{key}"))?;
    Ok(())
}

/// Makes a change set and shows it; `None` if it would change nothing.
async fn change_set(stacks: &Stacks, is_new: bool, given: &BTreeMap<String, String>) -> Result<Option<String>> {
    let name = format!("millpond-{}", now());
    let parameter =
        |(key, value): (&String, &String)| Parameter::builder().parameter_key(key).parameter_value(value).build();
    let create = stacks
        .cloudformation
        .create_change_set()
        .stack_name(stacks.name())
        .change_set_name(&name)
        .change_set_type(if is_new { ChangeSetType::Create } else { ChangeSetType::Update })
        .template_body(TEMPLATE)
        .capabilities(Capability::CapabilityIam)
        .set_parameters(Some(given.iter().map(parameter).collect()))
        .set_on_stack_failure(is_new.then_some(OnStackFailure::Delete));
    create.send().await.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error))).context("the change set")?;
    for _ in 0..CHANGE_SET_LOOKS_MAX {
        let describe = stacks.cloudformation.describe_change_set().stack_name(stacks.name()).change_set_name(&name);
        let described = describe.send().await.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
        match described.status() {
            Some(ChangeSetStatus::CreateComplete) => {
                let changes = described.changes().iter().filter_map(|change| change.resource_change());
                changes.for_each(|change| println!("{}", line(change)));
                return Ok(Some(name));
            }
            Some(ChangeSetStatus::Failed) => {
                let reason = described.status_reason().unwrap_or_default();
                let changes_nothing = reason.contains("didn't contain changes") || reason.contains("No updates");
                discard(stacks, &name, is_new).await?;
                return if changes_nothing { Ok(None) } else { bail!("CloudFormation refuses the change: {reason}") };
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    bail!("CloudFormation has not made the change set {name} yet; look for it in its console")
}

fn line(change: &ResourceChange) -> String {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let action = text(change.action().map(|action| action.as_str()));
    let kind = text(change.resource_type());
    let name = text(change.logical_resource_id());
    let replaced =
        change.replacement().map(|replacement| replacement.as_str()).filter(|replacement| *replacement != "False");
    let replaced = replaced.map_or(String::new(), |replacement| format!("  (replaced: {replacement})"));
    format!("  {action:<7} {name:<28} {kind}{replaced}")
}

async fn discard(stacks: &Stacks, change_set: &str, is_new: bool) -> Result<()> {
    let delete = stacks.cloudformation.delete_change_set().stack_name(stacks.name()).change_set_name(change_set);
    delete.send().await.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
    if is_new {
        // It was only made to hold the change set.
        stacks
            .cloudformation
            .delete_stack()
            .stack_name(stacks.name())
            .send()
            .await
            .map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
    }
    Ok(())
}

/// Tells what becomes of a stack until it is done; `None` if it was deleted.
pub(super) async fn follow(stacks: &Stacks) -> Result<Option<Stack>> {
    let mut told = BTreeSet::new();
    for _ in 0..STACK_LOOKS_MAX {
        let Some(stack) = stacks.stack().await? else { return Ok(None) };
        tell_events(stacks, &stack, &mut told).await;
        let status = stack.stack_status().context("a stack has a status")?.as_str().to_owned();
        if !status.ends_with("_IN_PROGRESS") {
            return match status.as_str() {
                "CREATE_COMPLETE" | "UPDATE_COMPLETE" => Ok(Some(stack)),
                "DELETE_COMPLETE" => Ok(None),
                status => bail!("the stack {} ended as {status}; the first failure above says why", stacks.name()),
            };
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("the stack {} is not done yet: `millpond-aws status` shows it", stacks.name())
}

/// Progress, where it can be had.
async fn tell_events(stacks: &Stacks, stack: &Stack, told: &mut BTreeSet<String>) {
    let Some(id) = stack.stack_id() else { return };
    let Ok(answer) = stacks.cloudformation.describe_stack_events().stack_name(id).send().await else { return };
    let begun = stack.last_updated_time().or(stack.creation_time()).map_or(0, |time| time.secs());
    for event in answer.stack_events().iter().rev() {
        let is_old = event.timestamp().is_none_or(|time| time.secs() < begun);
        if is_old || !told.insert(event.event_id().unwrap_or_default().to_owned()) {
            continue;
        }
        let status = event.resource_status().map_or("", |status| status.as_str());
        let reason = event.resource_status_reason().map_or(String::new(), |reason| format!("  {reason}"));
        eprintln!("  {status:<28} {}{reason}", event.logical_resource_id().unwrap_or_default());
    }
}

/// Asks a person; where there is none, that is a refusal.
pub(super) fn confirmed(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is here to ask: give --yes");
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
