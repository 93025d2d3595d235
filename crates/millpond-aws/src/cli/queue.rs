//! The late queue and the quarantine, as far as a queue can be looked into.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::Message;
use clap::Args;

use super::session::{Session, told};
use crate::aws::queues::LargeMessage;

/// Messages that SQS gives at once.
const AT_ONCE: i32 = 10;
/// Answers without a message after which there are none, in all likelihood: a queue is many machines.
const EMPTY_MAX: u32 = 3;
/// How long a message that was looked at is hidden from others, in seconds.
const HIDDEN_S: i32 = 300;

#[derive(Args)]
pub(super) struct Look {
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

impl Look {
    pub(super) async fn late(&self, session: &Session) -> Result<()> {
        self.show(session, &session.deployment.queues.late).await
    }

    pub(super) async fn quarantine(&self, session: &Session) -> Result<()> {
        self.show(session, &session.deployment.queues.quarantine).await
    }

    async fn show(&self, session: &Session, url: &str) -> Result<()> {
        let mut shown = 0;
        each(session, url, async |message| {
            println!("{}", whole(session, message).await?.text);
            shown += 1;
            Ok(if shown == self.limit { Fate::Last } else { Fate::Stays })
        })
        .await?;
        let total = count(session, url).await?;
        eprintln!("{shown} shown, of about {total}; they stay in the queue");
        Ok(())
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    Stays,
    /// It stays, and no other is looked at.
    Last,
    /// It is deleted.
    Goes,
}

/// Looks at each message once, as far as the queue shows them.
pub(super) async fn each(
    session: &Session,
    url: &str,
    mut look: impl AsyncFnMut(&Message) -> Result<Fate>,
) -> Result<()> {
    let sqs = &session.deployment.clients.sqs;
    let mut seen = BTreeSet::new();
    let mut held = Vec::new();
    let mut empty = 0;
    let mut last = false;
    while !last && empty < EMPTY_MAX {
        let receive = sqs.receive_message().queue_url(url).max_number_of_messages(AT_ONCE).visibility_timeout(HIDDEN_S);
        let received = receive.send().await.map_err(told)?;
        let messages = received.messages.unwrap_or_default();
        let fresh: Vec<Message> = messages
            .into_iter()
            .filter(|message| seen.insert(message.message_id().unwrap_or_default().to_owned()))
            .collect();
        empty = if fresh.is_empty() { empty + 1 } else { 0 };
        for message in fresh {
            let receipt = message.receipt_handle().context("a message has a receipt")?.to_owned();
            let fate = if last { Fate::Stays } else { look(&message).await? };
            last |= fate == Fate::Last;
            if fate == Fate::Goes {
                let delete = sqs.delete_message().queue_url(url).receipt_handle(&receipt).send().await;
                delete.map_err(told)?;
            } else {
                held.push(receipt);
            }
        }
    }
    for receipt in held {
        let shown = sqs.change_message_visibility().queue_url(url).receipt_handle(receipt).visibility_timeout(0);
        let _ = shown.send().await; // it shows itself again after a while
    }
    Ok(())
}

/// A message, wherever it lies.
pub(super) struct Whole {
    /// What it says; where that has expired, where it was.
    pub(super) text: String,
    /// The object that holds it.
    pub(super) object: Option<String>,
}

/// Reads the whole of a message.
pub(super) async fn whole(session: &Session, message: &Message) -> Result<Whole> {
    let text = message.body().unwrap_or_default().to_owned();
    let Ok(LargeMessage { object }) = serde_json::from_str(&text) else { return Ok(Whole { text, object: None }) };
    let get = session.deployment.clients.s3.get_object().bucket(&session.deployment.bucket).key(&object).send().await;
    let text = match get {
        Ok(got) => String::from_utf8(got.body.collect().await?.to_vec())?,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => text,
        Err(error) => return Err(told(error)).with_context(|| format!("reading {object}, which a message points to")),
    };
    Ok(Whole { text, object: Some(object) })
}

/// About how many messages a queue has.
pub(super) async fn count(session: &Session, url: &str) -> Result<u64> {
    use aws_sdk_sqs::types::QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible};
    let ask = session.deployment.clients.sqs.get_queue_attributes().queue_url(url);
    let ask = ask.attribute_names(ApproximateNumberOfMessages).attribute_names(ApproximateNumberOfMessagesNotVisible);
    let answer = ask.send().await.map_err(told)?;
    let counts = answer.attributes.unwrap_or_default();
    Ok(counts.values().filter_map(|count| count.parse::<u64>().ok()).sum())
}
