//! One request: sent, answered, and sent again if that is safe and may help.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::wire::Problem;
use crate::{Client, Error};

/// The longest answer that is held: a page of views of the largest size.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// How much of an odd answer is shown.
const SHOWN_CHARACTERS: usize = 120;
/// What stays as it is in a segment of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request, before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    path: Result<String, String>,
    query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    body: Option<Bytes>,
    /// Whether doing it twice is doing it once.
    repeatable: bool,
    /// Whether its answer takes no longer than the client's timeout; otherwise there is no limit.
    quick: bool,
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    url: String,
}

impl Ask {
    pub(crate) fn new(method: Method, path: &[&str]) -> Self {
        Self {
            repeatable: method != Method::POST,
            method,
            path: path_of(path),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            quick: true,
        }
    }

    pub(crate) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &[&str]) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn body(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = Some(body);
        self
    }

    pub(crate) fn accept(mut self, content_type: &'static str) -> Self {
        self.headers.insert(ACCEPT, HeaderValue::from_static(content_type));
        self
    }

    /// A POST that may be sent twice.
    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    pub(crate) fn not_repeatable(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// It may read or write everything that is stored.
    pub(crate) fn slow(mut self) -> Self {
        self.quick = false;
        self
    }
}

/// The segments, so that each stays one, whatever is in it.
fn path_of(segments: &[&str]) -> Result<String, String> {
    let mut path = String::new();
    for segment in segments {
        if matches!(*segment, "" | "." | "..") {
            return Err(format!("`{segment}` cannot be part of an address, so it cannot be asked for over HTTP"));
        }
        path.push('/');
        path.extend(utf8_percent_encode(segment, PLAIN));
    }
    Ok(path)
}

impl Client {
    /// The answer as a value.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Error> {
        self.answer(&ask).await?.read()
    }

    /// Sends it until there is an answer, or no more use.
    pub(crate) async fn answer(&self, ask: &Ask) -> Result<Answer, Error> {
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            let error = match self.attempt(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = ask.repeatable && error.is_retryable();
            let chance = (self.shared.chance)();
            let wait = self.shared.retry.wait(attempt, started.elapsed(), chance, error.retry_after());
            let Some(wait) = wait.filter(|_| again) else { return Err(error) };
            sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, ask: &Ask) -> Result<Answer, Error> {
        let whole = async { self.read_answer(self.send(ask).await?).await };
        if !ask.quick {
            return whole.await;
        }
        let after = self.shared.timeout;
        timeout(after, whole).await.unwrap_or_else(|_| Err(Error::Timeout { url: self.url().to_owned(), after }))
    }

    /// The answer's head, if it is a success.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Response, Error> {
        let path = ask.path.as_ref().map_err(|what| Error::Invalid(what.clone()))?;
        let mut request = self.shared.http.request(ask.method.clone(), format!("{}{path}", self.url()));
        if !ask.query.is_empty() {
            request = request.query(&ask.query);
        }
        request = request.headers(ask.headers.clone());
        if let Some(token) = &self.shared.token {
            request = request.header(reqwest::header::AUTHORIZATION, token.clone());
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(|source| Error::transport(self.url(), source))?;
        if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let answer = self.read_answer(response).await?;
        Err(answer.refusal())
    }

    async fn read_answer(&self, mut response: Response) -> Result<Answer, Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let url = response.url().to_string();
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|source| Error::transport(self.url(), source))? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                let what = format!("with more than {ANSWER_BYTES_MAX} bytes");
                return Err(Error::Unexpected { url, status: status.as_u16(), what, retry_after: None });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, headers, body: body.freeze(), url })
    }
}

impl Answer {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.unexpected(format!("which is not understood ({error})")))
    }

    pub(crate) fn unexpected(&self, what: String) -> Error {
        let retry_after = retry_after(&self.headers);
        Error::Unexpected { url: self.url.clone(), status: self.status.as_u16(), what, retry_after }
    }

    /// What it says, when it is no success.
    fn refusal(&self) -> Error {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) if problem.kind.starts_with("urn:millpond:") => {
                Error::problem(Problem { status: self.status.as_u16(), ..problem }, retry_after(&self.headers))
            }
            _ => {
                let text: String = String::from_utf8_lossy(&self.body).chars().take(SHOWN_CHARACTERS).collect();
                self.unexpected(format!("`{}`", text.escape_debug()))
            }
        }
    }
}

/// In seconds; a date is not understood, and the usual wait stands.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_one_whatever_is_in_it() {
        let path = path_of(&["v1", "views", "orders", "a/b ?#%é"]).expect("it can be asked for");
        assert_eq!(path, "/v1/views/orders/a%2Fb%20%3F%23%25%C3%A9");
        for odd in ["", ".", ".."] {
            path_of(&["v1", odd]).expect_err("an address would lose it");
        }
    }
}
