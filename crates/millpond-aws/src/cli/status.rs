//! `status`: what a deployment is made of, and how it is.

use anyhow::Result;
use aws_sdk_lambda::error::DisplayErrorContext;

use super::queue::count;
use super::session::Session;
use crate::aws::queues::QueueUrls;
use crate::handlers::Snapshots;

pub(super) async fn status(session: &Session) -> Result<()> {
    let stack = session.stacks.stack().await?;
    let state =
        stack.and_then(|stack| stack.stack_status).map_or("unknown".to_owned(), |status| status.as_str().to_owned());
    let deployment = &session.deployment;
    println!("stack      {}  {state}", session.stacks.name());
    println!("join       {}, generation {}", deployment.join.name(), deployment.generation);
    match deployment.snapshots {
        Snapshots::Off => println!("snapshots  off: events of any age are accepted"),
        Snapshots::Since(since) => println!("snapshots  on since {since}"),
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
    mappings(session).await
}

async fn stream(session: &Session) -> Result<()> {
    let name = &session.deployment.stream;
    let asked = session.deployment.clients.kinesis.describe_stream_summary().stream_name(name).send().await;
    let asked = asked.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
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
        let asked = asked.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
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
        let asked = asked.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
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
