//! What can go wrong at AWS, and what to do about it.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::items::Damaged;

/// Why something was not done. Nothing was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was tried until there was no more time: it can be asked for again.
    #[error("{what}: not done in {attempts} attempt(s) before the deadline; it will be tried again: {why}")]
    Unavailable {
        /// The call.
        what: &'static str,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt got.
        why: String,
    },
    /// AWS refuses it, and would again.
    #[error("{what} was refused: {why}")]
    Refused {
        /// The call.
        what: &'static str,
        /// What AWS said.
        why: String,
    },
    /// An item is not what was stored.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A view is larger than an item may be.
    #[error(
        "the view of key `{key}` is larger than an item may be: its events are kept, and not folded any more; bound its lists and sets"
    )]
    Overflow {
        /// The key.
        key: String,
    },
    /// A newer deployment has another definition, and has written the view.
    #[error(
        "the view of key `{key}` was written by a newer definition (generation {theirs}, this is {ours}); leave it to that"
    )]
    Superseded {
        /// The key.
        key: String,
        /// The generation that wrote it.
        theirs: u64,
        /// The one of this deployment.
        ours: u64,
    },
}

/// What to do about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Wait, and call again. Whether it was carried out is not known.
    Again,
    /// It would fail again.
    Stop,
}

/// Words for "not now" that do not come with a status of 500 or above.
const NOT_NOW: [&str; 9] = [
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "ThrottlingException",
    "Throttling",
    "TransactionInProgressException",
    "TooManyRequestsException",
];

/// What to do about a failure of the SDK.
pub fn advice<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Advice {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => Advice::Again,
        SdkError::ServiceError(service) => {
            let is_not_now = service.err().code().is_some_and(|code| NOT_NOW.contains(&code));
            if is_not_now || service.raw().status().is_server_error() { Advice::Again } else { Advice::Stop }
        }
        _ => Advice::Stop,
    }
}

/// A failure of the SDK in one line: what AWS said, or what kept it from being asked.
pub fn said<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => DisplayErrorContext(error).to_string(),
    }
}
