//! `status`: what a deployment is made of, and how it is.

use anyhow::Result;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat as Format};
use serde_json::Value;

use super::logs::each_line;
use super::queue::count;
use super::session::{Session, told};
use crate::aws::queues::QueueUrls;
use crate::handlers::Snapshots;

/// How long ago a batch may be whose lag is told.
const LAG_MINUTES: u32 = 10;

pub(super) async fn status(session: &Session) -> Result<()> {
    let stack = session.stacks.stack().await?;
    let state =
        stack.and_then(|stack| stack.stack_status).map_or("unknown".to_owned(), |status| status.as_str().to_owned());
    let deployment = &session.deployment;
    println!("stack      {}  {state}", session.stacks.name());
    println!("join       {}, generation {}", deployment.join.name(), deployment.generation);
    match deployment.snapshots {
        Snapshots::Off => println!("snapshots  off: events of any age are accepted"),
        Snapshots::Since(since) => {
            let since = DateTime::from_millis(since as i64).fmt(Format::DateTime)?;
            println!("snapshots  on since {since}, margin {} s", deployment.margin_ms / 1000);
        }
    }
    stream(session).await?;
    tables(session).await?;
    let QueueUrls { late, quarantine, snapshot, trim } = &deployment.queues;
    for (name, url) in [("late", late), ("quarantine", quarantine), ("snapshot", snapshot), ("trim", trim)] {
        println!("queue      {name}: about {} message(s)", count(session, url).await?);
    }
    for (name, output) in [("snapshot", "SnapshotDeadLetters"), ("trim", "TrimDeadLetters")] {
        if let Some(url) = session.outputs.get(output) {
            println!("queue      {name}, dead letters: about {} message(s)", count(session, url).await?);
        }
    }
    mappings(session).await?;
    for function in ["consumer", "trigger"] {
        match last_lag(session, function).await? {
            Some(lag) => println!("lag        {function}: {lag} ms in its last batch"),
            None => println!("lag        {function}: no batch in the last {LAG_MINUTES} minutes"),
        }
    }
    Ok(())
}

/// How far behind a function was in its last batch, in milliseconds, as its metrics say.
async fn last_lag(session: &Session, function: &str) -> Result<Option<u64>> {
    let mut last = None;
    each_line(session, function, LAG_MINUTES, Some("Lag"), |line| {
        let metrics: Value = serde_json::from_str(line).unwrap_or_default();
        let told = metrics["_aws"]["Timestamp"].as_u64().zip(metrics["Lag"].as_u64());
        last = last.max(told);
    })
    .await?;
    Ok(last.map(|(_, lag)| lag))
}

async fn stream(session: &Session) -> Result<()> {
    let name = &session.deployment.stream;
    let asked = session.deployment.clients.kinesis.describe_stream_summary().stream_name(name).send().await;
    let asked = asked.map_err(told)?;
    if let Some(summary) = asked.stream_description_summary() {
        let (status, shards) = (summary.stream_status().as_str(), summary.open_shard_count());
        println!("stream     {name}  {status}, {shards} shard(s), {} h", summary.retention_period_hours());
    }
    Ok(())
}

async fn tables(session: &Session) -> Result<()> {
    let tables = &session.deployment.tables;
    for name in [&tables.events, &tables.view] {
        let asked = session.deployment.clients.dynamo.describe_table().table_name(name).send().await;
        let asked = asked.map_err(told)?;
        let Some(table) = asked.table() else { continue };
        let status = table.table_status().map_or("", |status| status.as_str());
        // DynamoDB counts every six hours.
        println!("table      {name}  {status}, about {} item(s)", table.item_count().unwrap_or_default());
    }
    Ok(())
}

async fn mappings(session: &Session) -> Result<()> {
    let lambda = aws_sdk_lambda::Client::new(&session.stacks.config);
    for function in ["consumer", "trigger", "snapshot", "trim"] {
        let asked = lambda.list_event_source_mappings().function_name(session.function(function)).send().await;
        let asked = asked.map_err(told)?;
        for mapping in asked.event_source_mappings() {
            let (state, result) =
                (mapping.state().unwrap_or_default(), mapping.last_processing_result().unwrap_or_default());
            println!(
                "mapping    {function}: {state}{}",
                if result.is_empty() { String::new() } else { format!(", {result}") }
            );
        }
    }
    Ok(())
}
