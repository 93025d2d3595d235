//! `remove`: takes a deployment away.

use anyhow::Result;
use aws_sdk_cloudformation::error::DisplayErrorContext;
use clap::Args;

use super::deploy::{confirmed, follow};
use super::session::Session;

#[derive(Args)]
pub(super) struct Remove {
    /// Empty the bucket first, and delete what the stack would retain: tables and bucket
    #[arg(long)]
    with_data: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(super) async fn run(&self, session: &Session) -> Result<()> {
        let stacks = &session.stacks;
        let what = if self.with_data { " with all events and views" } else { "; tables and bucket stay" };
        if !self.yes && !confirmed(&format!("remove the stack {}{what}?", stacks.name()))? {
            anyhow::bail!("nothing was removed");
        }
        let delete = stacks.cloudformation.delete_stack().stack_name(stacks.name()).send().await;
        delete.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
        follow(stacks).await?;
        if self.with_data {
            self.delete_data(session).await?;
        }
        println!("{} is removed", stacks.name());
        Ok(())
    }

    async fn delete_data(&self, session: &Session) -> Result<()> {
        let deployment = &session.deployment;
        let failed = |what: &str, error: String| anyhow::anyhow!("deleting {what}: {error}");
        for table in [&deployment.tables.events, &deployment.tables.view] {
            let deleted = deployment.clients.dynamo.delete_table().table_name(table).send().await;
            if let Err(error) = deleted
                && !error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception())
            {
                return Err(failed(table, DisplayErrorContext(error).to_string()));
            }
        }
        let (s3, bucket) = (&deployment.clients.s3, &deployment.bucket);
        loop {
            let listed = s3.list_objects_v2().bucket(bucket).send().await;
            let Ok(listed) = listed else { return Ok(()) }; // it is gone with the stack
            for object in listed.contents() {
                let Some(key) = object.key() else { continue };
                let deleted = s3.delete_object().bucket(bucket).key(key).send().await;
                deleted.map_err(|error| failed(key, DisplayErrorContext(error).to_string()))?;
            }
            if listed.is_truncated() != Some(true) {
                break;
            }
        }
        let deleted = s3.delete_bucket().bucket(bucket).send().await;
        deleted.map_err(|error| failed(bucket, DisplayErrorContext(error).to_string()))?;
        Ok(())
    }
}
