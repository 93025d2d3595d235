//! What can go wrong between a client and its server, and what to do about it.

use std::time::Duration;

use crate::wire::{DefinitionFault, Problem};

/// A request that was not answered as hoped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused, and said why. `word` names the kind of refusal; `detail` says what is
    /// wrong and what to do.
    #[error("{}", told(.detail, .faults))]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The kind: `not-found`, `invalid-definition`, …
        word: String,
        /// What is wrong, and what to do about it.
        detail: String,
        /// The faults of a definition, if it was one.
        faults: Vec<DefinitionFault>,
        /// When the server asked to be asked again.
        retry_after: Option<Duration>,
    },
    /// The server was not reached, or the connection broke.
    #[error("cannot talk to {url}: {}; {}", innermost(.source), advice(.source))]
    Transport {
        /// The server.
        url: String,
        /// The system's answer.
        source: reqwest::Error,
    },
    /// The server did not answer in time. What was asked may have been done nevertheless.
    #[error("{url} did not answer within {after:?}; ask again, or allow more time")]
    Timeout {
        /// The server.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// An answer that a millpond server does not give.
    #[error(
        "{url} answered {status}, {what}: is it a millpond server of this version, and is nothing else in between?"
    )]
    Unexpected {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is odd about the answer.
        what: String,
        /// When the answer asked to be asked again.
        retry_after: Option<Duration>,
    },
    /// The client cannot ask that: nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Whether the same request may succeed later, with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport { source, .. } => !source.is_builder() && !is_distrust(source),
            Self::Timeout { .. } => true,
            Self::Problem { status, .. } | Self::Unexpected { status, .. } => {
                matches!(status, 408 | 429 | 502 | 503 | 504)
            }
            Self::Invalid(_) => false,
        }
    }

    /// Whether the join, key or entry is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem { status: 404, .. })
    }

    /// The kind of refusal, if the server refused.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Problem { word, .. } => Some(word),
            _ => None,
        }
    }

    /// When the server asked to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } | Self::Unexpected { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn problem(problem: Problem, retry_after: Option<Duration>) -> Self {
        let Problem { kind, status, detail, title, faults } = problem;
        let word = kind.rsplit(':').next().unwrap_or_default().to_owned();
        Self::Problem { status, word, detail: if detail.is_empty() { title } else { detail }, faults, retry_after }
    }

    pub(crate) fn transport(base: &str, source: reqwest::Error) -> Self {
        Self::Transport { url: base.to_owned(), source: source.without_url() }
    }
}

fn told(detail: &str, faults: &[DefinitionFault]) -> String {
    let fault = |fault: &DefinitionFault| format!("\n  {}:{}: {}", fault.line, fault.column, fault.message);
    std::iter::once(detail.to_owned()).chain(faults.iter().map(fault)).collect()
}

/// The outer messages only say that something failed; the innermost says what.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn advice(error: &reqwest::Error) -> &'static str {
    match is_distrust(error) {
        true => "check the URL, and give the certificate authority of the server if the system does not know it",
        false => "is `millpond serve` running there?",
    }
}

/// Whether TLS failed: the certificate is not trusted, or the server does not speak TLS. An IO error
/// does not count what it holds among its sources.
fn is_distrust(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    false
}
