//! `remove`: takes a deployment away; and, if told so, what it leaves behind.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::deploy::{confirmed, follow};
use super::session::{Stacks, told};

#[derive(Args)]
pub(super) struct Remove {
    /// Delete what the stack leaves behind, too: tables, bucket and packages
    #[arg(long)]
    with_data: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(super) async fn run(&self, stacks: &Stacks) -> Result<()> {
        let name = stacks.name();
        let stack = stacks.stack().await?;
        if stack.is_none() && !self.with_data {
            bail!("there is no stack {name}; tables and bucket that one left behind are deleted by --with-data");
        }
        let what = if self.with_data { " with all events and views" } else { "; its events and views stay" };
        if !self.yes && !confirmed(&format!("remove the stack {name}{what}?"))? {
            bail!("nothing was removed");
        }
        if let Some(stack) = stack {
            stacks.cloudformation.delete_stack().stack_name(&name).send().await.map_err(told)?;
            follow(stacks, stack.stack_id().unwrap_or(&name)).await?;
        }
        if self.with_data {
            delete_data(stacks).await?;
        } else {
            // One with objects in it stays, by S3's own rule.
            let _ = stacks.s3().delete_bucket().bucket(stacks.bucket().await?).send().await;
        }
        let what =
            if self.with_data { ", with its data" } else { "; tables stay, and the bucket if it holds anything" };
        println!("{name} is removed{what}");
        Ok(())
    }
}

async fn delete_data(stacks: &Stacks) -> Result<()> {
    let dynamo = aws_sdk_dynamodb::Client::new(&stacks.config);
    for table in stacks.tables() {
        let deleted = dynamo.delete_table().table_name(&table).send().await;
        match deleted {
            Ok(_) => eprintln!("  deleted the table {table}"),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {}
            Err(error) => return Err(told(error)).with_context(|| format!("deleting the table {table}")),
        }
    }
    let bucket = stacks.bucket().await?;
    let s3 = stacks.s3();
    // A bucket that is not there has nothing to delete.
    if s3.head_bucket().bucket(&bucket).send().await.is_ok() {
        let objects = delete_objects(&s3, &bucket, "").await?;
        s3.delete_bucket().bucket(&bucket).send().await.map_err(told).with_context(|| format!("deleting {bucket}"))?;
        eprintln!("  deleted the bucket {bucket} with {objects} object(s)");
    }
    let packages = stacks.packages_bucket().await?;
    if s3.head_bucket().bucket(&packages).send().await.is_ok() {
        delete_objects(&s3, &packages, &format!("{}/", stacks.name())).await?;
    }
    Ok(())
}

/// Deletes all objects under a prefix; how many there were.
pub(super) async fn delete_objects(s3: &aws_sdk_s3::Client, bucket: &str, prefix: &str) -> Result<u64> {
    let mut deleted = 0;
    loop {
        let listed = s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await.map_err(told)?;
        for object in listed.contents() {
            let Some(name) = object.key() else { continue };
            let gone = s3.delete_object().bucket(bucket).key(name).send().await;
            gone.map_err(told).with_context(|| format!("deleting s3://{bucket}/{name}"))?;
            deleted += 1;
        }
        if listed.contents().is_empty() || listed.is_truncated() != Some(true) {
            return Ok(deleted);
        }
    }
}
