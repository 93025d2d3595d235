//! `given-up`: batches that a mapping gave up; shown, or done after all.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::session::{Session, told};
use crate::given_up::{FOLDER, GivenUp, read, retry};
use crate::handlers::Deployment;

#[derive(Args)]
pub(super) struct Choice {
    /// Do them once more; what is done is deleted
    #[arg(long)]
    retry: bool,
}

impl Choice {
    pub(super) async fn run(&self, session: &Session) -> Result<ExitCode> {
        let (mut shown, mut failed) = (0_u64, 0_u64);
        for_each(session, async |name, object| {
            shown += 1;
            failed += u64::from(!self.one(session, name, object).await?);
            Ok(())
        })
        .await?;
        let rest = if self.retry { format!("{} done, {failed} not", shown - failed) } else { "they stay".to_owned() };
        eprintln!("{shown} batch(es) that were given up; {rest}");
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Shows a batch, or does it once more; whether all is well.
    async fn one(&self, session: &Session, name: &str, object: &[u8]) -> Result<bool> {
        let batch = match read(&session.deployment, object) {
            Ok(batch) => batch,
            Err(fault) => {
                println!("{}", json!({"object": name, "fault": fault}));
                return Ok(!self.retry);
            }
        };
        let GivenUp { function, condition, at, records, .. } = &batch;
        let mut line =
            json!({"object": name, "function": function, "records": records, "condition": condition, "at": at});
        let mut is_done = true;
        if self.retry {
            let left = retry(&session.deployment, &batch, &session.invocation()).await;
            is_done = matches!(left, Ok(0));
            line["retry"] = match left {
                Ok(0) => "done".into(),
                Ok(left) => format!("{left} record(s) failed again").into(),
                Err(error) => error.to_string().into(),
            };
        }
        println!("{line}");
        if self.retry && is_done {
            let Deployment { clients, bucket, .. } = &session.deployment;
            let gone = clients.s3.delete_object().bucket(bucket).key(name).send().await;
            gone.map_err(told).with_context(|| format!("deleting s3://{bucket}/{name}"))?;
        }
        Ok(is_done)
    }
}

/// Each object that Lambda keeps of a batch: its name, and what is in it.
pub(super) async fn for_each(session: &Session, mut act: impl AsyncFnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
    let Deployment { clients, bucket, .. } = &session.deployment;
    let mut start = None;
    loop {
        let list = clients.s3.list_objects_v2().bucket(bucket).prefix(FOLDER).set_start_after(start);
        let listed = list.send().await.map_err(told).with_context(|| format!("reading {bucket}"))?;
        for name in listed.contents().iter().filter_map(|object| object.key()) {
            let got = clients.s3.get_object().bucket(bucket).key(name).send().await;
            let got = got.map_err(told).with_context(|| format!("reading s3://{bucket}/{name}"))?;
            act(name, &got.body.collect().await?.into_bytes()).await?;
        }
        start = listed.contents().last().and_then(|last| last.key()).map(str::to_owned);
        if start.is_none() || listed.is_truncated() != Some(true) {
            return Ok(());
        }
    }
}
