//! `logs`: what a function said.

use anyhow::{Context, Result};

use super::session::{Session, now, told};

/// Pages that are read, at most.
const PAGES_MAX: u32 = 1000;

pub(super) async fn logs(session: &Session, function: &str, minutes: u32) -> Result<()> {
    each_line(session, function, minutes, None, |line| println!("{line}")).await
}

/// Each line that a function said in the last minutes, or each that has a word in it.
pub(super) async fn each_line(
    session: &Session,
    function: &str,
    minutes: u32,
    word: Option<&str>,
    mut line: impl FnMut(&str),
) -> Result<()> {
    let client = aws_sdk_cloudwatchlogs::Client::new(&session.stacks.config);
    let group = format!("/aws/lambda/{}", session.function(function));
    let since = now().saturating_sub(u64::from(minutes) * 60_000);
    let mut next = None;
    for _ in 0..PAGES_MAX {
        let filter = client.filter_log_events().log_group_name(&group).start_time(since as i64);
        let filter = filter.set_filter_pattern(word.map(str::to_owned)).set_next_token(next);
        let page = filter.send().await.map_err(told).with_context(|| format!("reading {group}"))?;
        page.events().iter().for_each(|event| line(event.message().unwrap_or_default().trim_end()));
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(())
}
