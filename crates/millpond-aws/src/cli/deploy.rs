//! `deploy`: uploads the package, shows what would change, changes it, and tells how it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_cloudformation::primitives::DateTime;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, EventFilter, OnStackFailure, Parameter, ResourceChange, Stack,
    StackStatus,
};
use clap::{Args, ValueEnum};

use super::Place;
use super::package::{Made, Parts, definition_object, object};
use super::session::{Account, Stacks, now, parameters, told};

/// The whole deployment.
const TEMPLATE: &str = include_str!("../../../../deploy/aws/template.yaml");
/// How it names tables and bucket.
const NAMED: [&str; 3] = [
    r#"!Sub "${Stage}-${Service}-events""#,
    r#"!Sub "${Stage}-${Service}-view""#,
    r#"!Sub "${Stage}-${Service}-${AWS::AccountId}-${AWS::Region}""#,
];

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long CloudFormation may take for a change set, and for a stack.
const CHANGE_SET_LOOKS_MAX: u32 = 150;
const STACK_LOOKS_MAX: u32 = 1800;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl LogLevel {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
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
    /// Whether history is closed; off while old events are loaded. A new deployment's is on
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
    /// How much functions say
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
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
        let Made { join, architecture, bytes } = self.parts.make()?;
        let stacks = Stacks::open(place, place.service.as_deref().unwrap_or(join.name())).await?;
        let stack = stacks.stack().await?;
        let before = stack.as_ref().map(parameters).unwrap_or_default();
        let bucket = packages(&stacks).await?;
        let key = object(&stacks.name(), &bytes);
        upload(&stacks, &bucket, &key, bytes).await?;
        upload(&stacks, &bucket, &definition_object(&key), join.source_text().as_bytes().to_vec()).await?;
        println!("package: s3://{bucket}/{key}");
        let mut given = self.parameters(place, &stacks, &before);
        // Another package may have another definition: its views are not the older one's to write. Tables
        // outlive stacks, so that time is what numbers deployments.
        let generation = before.get("Generation").filter(|_| before.get("CodeKey") == Some(&key)).cloned();
        given.extend([
            ("CodeBucket".to_owned(), bucket),
            ("CodeKey".to_owned(), key),
            ("Architecture".to_owned(), architecture.name().to_owned()),
            ("Generation".to_owned(), generation.unwrap_or_else(|| (now() / 1000).to_string())),
        ]);
        let is_new = stack.as_ref().is_none_or(|stack| stack.stack_status() == Some(&StackStatus::ReviewInProgress));
        let Some(change_set) = change_set(&stacks, is_new, &given).await? else {
            println!("{} is as it should be: nothing to change", stacks.name());
            return Ok(());
        };
        if self.dry_run {
            discard(&stacks, &change_set.name, is_new).await?;
            return Ok(());
        }
        if !self.yes && !confirmed(&format!("change the stack {}?", stacks.name()))? {
            discard(&stacks, &change_set.name, is_new).await?;
            bail!("nothing was changed");
        }
        let ChangeSet { name, stack_id } = change_set;
        let execute = stacks.cloudformation.execute_change_set().stack_name(stacks.name()).change_set_name(name);
        execute.send().await.map_err(told)?;
        let stack = follow(&stacks, &stack_id).await?;
        let stack = stack.context("the stack could not be made, and is gone; what failed is told above")?;
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
    ) -> BTreeMap<String, String> {
        let mut given = BTreeMap::new();
        let mut say = |name: &str, value: Option<String>| {
            if let Some(value) = value.or_else(|| before.get(name).cloned()) {
                given.insert(name.to_owned(), value);
            }
        };
        let switch = |switch: Switch| if switch == Switch::On { "on" } else { "off" }.to_owned();
        let since = before.get("SnapshotsSince").filter(|since| *since != "0");
        let snapshots = self.snapshots.or_else(|| before.is_empty().then_some(Switch::On));
        say("Stage", Some(stacks.stage.clone()));
        say("Service", Some(stacks.service.clone()));
        say("Shards", self.shards.map(|shards| shards.to_string()));
        say("RetentionHours", self.retention.map(|hours| hours.to_string()));
        say(
            "SnapshotsSince",
            snapshots.map(|snapshots| match snapshots {
                Switch::Off => "0".to_owned(),
                Switch::On => since.cloned().unwrap_or_else(|| now().to_string()),
            }),
        );
        say("MarginSeconds", self.margin.map(|seconds| seconds.to_string()));
        say("Archive", self.archive.map(switch));
        say("MemoryMegabytes", self.memory.map(|megabytes| megabytes.to_string()));
        say("LogLevel", self.log_level.map(|level| level.name().to_owned()));
        say("AlarmTopic", self.alarm_topic.clone());
        say("EndpointUrl", place.endpoint_url.clone());
        given
    }
}

/// The bucket that packages are in, made if it is not there.
async fn packages(stacks: &Stacks) -> Result<String> {
    let bucket = stacks.packages_bucket().await?;
    let s3 = stacks.s3();
    let Account { number, region } = stacks.account().await?;
    // Its name can be guessed, and taken: what functions run is not put into a bucket of others.
    if s3.head_bucket().bucket(&bucket).expected_bucket_owner(number).send().await.is_ok() {
        return Ok(bucket);
    }
    let mut create = s3.create_bucket().bucket(&bucket);
    if region != "us-east-1" {
        let constraint = aws_sdk_s3::types::BucketLocationConstraint::from(&*region);
        let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(constraint);
        create = create.create_bucket_configuration(place.build());
    }
    let created = create.send().await.map_err(told);
    created.with_context(|| format!("making the bucket {bucket}"))?;
    Ok(bucket)
}

/// The template, with the names of tables and bucket said outright: those that an older stack left
/// behind are taken over by such a name alone.
async fn template(stacks: &Stacks) -> Result<String> {
    let [events, view] = stacks.tables();
    let names = [events, view, stacks.bucket().await?];
    Ok(NAMED.iter().zip(names).fold(TEMPLATE.to_owned(), |text, (named, name)| text.replace(named, &name)))
}

async fn upload(stacks: &Stacks, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<()> {
    let Account { number, .. } = stacks.account().await?;
    let put = stacks.s3().put_object().bucket(bucket).key(key).expected_bucket_owner(number);
    let put = put.body(bytes.into()).send().await;
    put.map_err(told).with_context(|| format!("uploading s3://{bucket}/{key}"))?;
    Ok(())
}

/// A change set that is shown, and not carried out yet.
struct ChangeSet {
    name: String,
    stack_id: String,
}

/// Makes a change set and shows it; `None` if it would change nothing.
async fn change_set(stacks: &Stacks, is_new: bool, given: &BTreeMap<String, String>) -> Result<Option<ChangeSet>> {
    let name = format!("millpond-{}", now());
    let parameter =
        |(key, value): (&String, &String)| Parameter::builder().parameter_key(key).parameter_value(value).build();
    let create = stacks
        .cloudformation
        .create_change_set()
        .stack_name(stacks.name())
        .change_set_name(&name)
        .change_set_type(if is_new { ChangeSetType::Create } else { ChangeSetType::Update })
        .template_body(template(stacks).await?)
        .capabilities(Capability::CapabilityIam)
        .set_parameters(Some(given.iter().map(parameter).collect()))
        .import_existing_resources(is_new)
        .set_on_stack_failure(is_new.then_some(OnStackFailure::Delete));
    let created = create.send().await.map_err(told).context("the change set")?;
    for _ in 0..CHANGE_SET_LOOKS_MAX {
        let describe = stacks.cloudformation.describe_change_set().stack_name(stacks.name()).change_set_name(&name);
        let described = describe.send().await.map_err(told)?;
        match described.status() {
            Some(ChangeSetStatus::CreateComplete) => {
                let changes = described.changes().iter().filter_map(|change| change.resource_change());
                changes.for_each(|change| println!("{}", line(change)));
                return Ok(Some(ChangeSet { name, stack_id: created.stack_id.unwrap_or_default() }));
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
    delete.send().await.map_err(told)?;
    if is_new {
        // It was only made to hold the change set.
        stacks.cloudformation.delete_stack().stack_name(stacks.name()).send().await.map_err(told)?;
    }
    Ok(())
}

/// Tells what becomes of a stack until it is done; `None` if it was deleted.
pub(super) async fn follow(stacks: &Stacks, stack_id: &str) -> Result<Option<Stack>> {
    let mut seen = BTreeSet::new();
    let begun = DateTime::from_secs((now() / 1000) as i64 - 5);
    for _ in 0..STACK_LOOKS_MAX {
        let stack = stacks.stack().await?;
        tell_events(stacks, stack_id, begun, &mut seen).await;
        let Some(stack) = stack else {
            tell_refusals(stacks, stack_id).await;
            return Ok(None);
        };
        let status = stack.stack_status().context("a stack has a status")?.as_str().to_owned();
        if !status.ends_with("_IN_PROGRESS") {
            return match status.as_str() {
                "CREATE_COMPLETE" | "UPDATE_COMPLETE" => Ok(Some(stack)),
                "DELETE_COMPLETE" => Ok(None),
                status => {
                    tell_refusals(stacks, stack_id).await;
                    bail!("the stack {} ended as {status}; what failed is told above", stacks.name())
                }
            };
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("the stack {} is not done yet: `millpond-aws status` shows it", stacks.name())
}

/// What became of resources since, where it can be had.
async fn tell_events(stacks: &Stacks, stack_id: &str, begun: DateTime, seen: &mut BTreeSet<String>) {
    let asked = stacks.cloudformation.describe_stack_events().stack_name(stack_id).send().await;
    for event in asked.iter().flat_map(|answer| answer.stack_events()).rev() {
        let status = event.resource_status().map_or("", |status| status.as_str());
        let is_news = event.timestamp().is_some_and(|at| *at >= begun) && !status.ends_with("_IN_PROGRESS");
        if is_news && seen.insert(event.event_id().unwrap_or_default().to_owned()) {
            let reason = event.resource_status_reason().map_or(String::new(), |reason| format!("  {reason}"));
            eprintln!("  {status:<16} {}{reason}", event.logical_resource_id().unwrap_or_default());
        }
    }
}

/// What CloudFormation refused before it touched anything: no event of the stack has that.
async fn tell_refusals(stacks: &Stacks, stack_id: &str) {
    let failed = EventFilter::builder().failed_events(true).build();
    let asked = stacks.cloudformation.describe_events().stack_name(stack_id).filters(failed).send().await;
    for event in asked.iter().flat_map(|answer| answer.operation_events()) {
        if let Some(reason) = event.validation_status_reason() {
            eprintln!("  {:<16} {}  {reason}", "REFUSED", event.logical_resource_id().unwrap_or_default());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_names_tables_and_bucket_as_is_expected_of_it() {
        for named in NAMED {
            assert_eq!(TEMPLATE.matches(named).count(), 1, "{named}");
        }
    }
}
