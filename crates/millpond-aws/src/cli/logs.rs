//! `logs`: what a function said.

use anyhow::Result;
use aws_sdk_cloudwatchlogs::error::DisplayErrorContext;

use super::session::{Session, now};

/// Pages that are read, at most.
const PAGES_MAX: u32 = 1000;

pub(super) async fn logs(session: &Session, function: &str, minutes: u32) -> Result<()> {
    let client = aws_sdk_cloudwatchlogs::Client::new(&session.stacks.config);
    let group = format!("/aws/lambda/{}", session.function(function));
    let since = now().saturating_sub(u64::from(minutes) * 60_000);
    let mut next = None;
    for _ in 0..PAGES_MAX {
        let filter = client.filter_log_events().log_group_name(&group).start_time(since as i64).set_next_token(next);
        let page = filter.send().await.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
        for event in page.events() {
            println!("{}", event.message().unwrap_or_default().trim_end());
        }
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(())
}
