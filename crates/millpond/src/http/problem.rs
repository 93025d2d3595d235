//! Errors as RFC 9457 has them: a word, and a detail that says what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millpond_client::wire;
use millpond_core::Faults;
use millpond_store::Error;

use crate::service::Refused;

/// Seconds after which asking again may help.
const RETRY_SOON: &str = "1";
const RETRY_LATER: &str = "5";

macro_rules! words {
    ($($name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// The kinds of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Word { $($name,)* }

        impl Word {
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As `type` has it, behind `urn:millpond:`.
            pub(super) fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            pub(super) fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            pub(super) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

words! {
    BadRequest = "bad-request", BAD_REQUEST, "The request is not understood";
    Unauthorized = "unauthorized", UNAUTHORIZED, "A token is needed";
    Forbidden = "forbidden", FORBIDDEN, "This is not allowed";
    NotFound = "not-found", NOT_FOUND, "There is no such thing";
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "This cannot be done here";
    Timeout = "timeout", REQUEST_TIMEOUT, "The request came too slowly";
    BeforeSnapshot = "before-snapshot", CONFLICT, "The history of that time is gone";
    DefinitionChanged = "definition-changed", CONFLICT, "The definition makes other views";
    TooLarge = "too-large", PAYLOAD_TOO_LARGE, "The request is too large";
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body is of a type that is not read here";
    Misdirected = "misdirected", MISDIRECTED_REQUEST, "The request was meant for another server";
    InvalidDefinition = "invalid-definition", UNPROCESSABLE_ENTITY, "The definition has faults";
    TooMany = "too-many", TOO_MANY_REQUESTS, "Too much at once";
    Internal = "internal", INTERNAL_SERVER_ERROR, "The server failed";
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "There is no answer now";
    Rebuilding = "rebuilding", SERVICE_UNAVAILABLE, "The views are being made anew";
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Problem {
    word: Word,
    detail: String,
    faults: Vec<wire::DefinitionFault>,
    /// The rest of the request is not read.
    close: bool,
}

impl Problem {
    pub(crate) fn new(word: Word, detail: impl Into<String>) -> Self {
        Self { word, detail: detail.into(), faults: Vec::new(), close: false }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Word::BadRequest, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Word::NotFound, detail)
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        let detail = detail.into();
        tracing::error!(error = detail, "a request failed");
        Self::new(Word::Internal, detail)
    }

    /// The definition's faults, each with its place.
    pub(super) fn faults(Faults(faults): &Faults) -> Self {
        let fault = |fault: &millpond_core::Fault| wire::DefinitionFault {
            line: fault.line as u64,
            column: fault.column as u64,
            message: fault.message.clone(),
        };
        let count = crate::output::counted(faults.len() as u64, "fault", "faults");
        let detail = format!("the definition has {count}; `faults` says where each is, and what was expected");
        Self { faults: faults.iter().map(fault).collect(), ..Self::new(Word::InvalidDefinition, detail) }
    }

    /// The connection ends with the answer, since the rest of the body is not read.
    pub(super) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    #[cfg(test)]
    pub(super) fn word(&self) -> Word {
        self.word
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }
}

/// What an answer says of a failure: the log has the cause, and with it the paths of files.
fn failure(error: &Error) -> &'static str {
    match error {
        Error::Io { .. } | Error::Tables { .. } => "a file could not be read or written; try again once that is mended",
        Error::Damaged { .. }
        | Error::NotASegment { .. }
        | Error::Unreadable { .. }
        | Error::Row { .. }
        | Error::NewerFormat { .. }
        | Error::StoredDefinition { .. } => "what is stored cannot be read; trying again does not help",
        _ => "its store failed",
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let told = refused.to_string();
        match refused {
            Refused::NoJoin { .. } => Self::not_found(told),
            Refused::Rebuilding { .. } => Self::new(Word::Rebuilding, told),
            Refused::Left { .. } => Self::new(Word::Unavailable, format!("{told}; try again if it comes back")),
            Refused::Stopped { name, .. } => Self::new(
                Word::Unavailable,
                format!(
                    "join `{name}` does not answer: it was stopped by a failure, which the server's log tells. What was acknowledged is safe; try again once the cause is mended and the server was started again"
                ),
            ),
            Refused::Changed { name } => Self::new(
                Word::DefinitionChanged,
                format!(
                    "the definition of `{name}` makes other views than the stored one: add `?rebuild=true` to have them made anew"
                ),
            ),
            Refused::Store { error: Error::TooLarge { .. }, .. } => Self::new(Word::TooLarge, told),
            Refused::Store { error: Error::WouldDrop { .. }, .. } => {
                Self::new(Word::DefinitionChanged, format!("{told} (over HTTP: `?rebuild=true&drop_unnamed=true`)"))
            }
            Refused::Store { error: Error::Incomplete { .. }, .. } => Self::new(Word::DefinitionChanged, told),
            Refused::Store { name, error } => {
                tracing::error!(join = name, %error, "a request failed");
                let failure = failure(&error);
                Self::new(Word::Internal, format!("join `{name}`: {failure}. The server's log says more"))
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { word, detail, faults, close } = self;
        let status = word.status();
        let kind = format!("urn:millpond:{}", word.code());
        let title = word.title().to_owned();
        let problem = wire::Problem { kind, title, status: status.as_u16(), detail, faults };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let retry_after = match word {
            Word::TooMany => Some(RETRY_SOON),
            Word::Unavailable | Word::Rebuilding => Some(RETRY_LATER),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_no_path_of_the_server() {
        let io = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let errors = [
            Error::Io { what: "write", path: "/srv/secret/log".into(), source: io() },
            Error::Damaged { file: "/srv/secret/log".into(), offset: 7, what: "it is odd".into() },
            Error::NotASegment { file: "/srv/secret/log".into() },
            Error::InUse { dir: "/srv/secret".into(), holder: "process 7".into() },
        ];
        let stored = errors.map(|error| Refused::Store { name: "j".into(), error });
        let stopped = Refused::Stopped { name: "j".into(), reason: "cannot write /srv/secret/log: full".into() };
        for refused in stored.into_iter().chain([stopped]) {
            let problem = Problem::from(refused);
            let detail = problem.detail();
            assert!(!detail.contains("secret") && detail.contains("`j`") && detail.contains("log"), "{detail}");
        }
    }
}
