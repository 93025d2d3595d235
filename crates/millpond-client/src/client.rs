//! A client and its settings.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;

use crate::{Error, Retry, tls};

/// How long an answer may take, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one server. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// Without `/` at its end.
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) token: Option<HeaderValue>,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) chance: fn() -> f64,
}

/// What a client is made of.
#[derive(Clone, Debug)]
pub struct Builder {
    url: String,
    token: Option<String>,
    timeout: Duration,
    retry: Retry,
    authorities: Vec<Vec<u8>>,
    chance: fn() -> f64,
}

impl Client {
    /// A client of the server at a URL, such as `http://127.0.0.1:7717`, with the usual settings.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the URL is none.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::builder(url).build()
    }

    /// A client of the server at a URL, to be told more.
    #[must_use]
    pub fn builder(url: &str) -> Builder {
        Builder {
            url: url.to_owned(),
            token: None,
            timeout: TIMEOUT,
            retry: Retry::default(),
            authorities: Vec::new(),
            chance: fastrand::f64,
        }
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }
}

impl Builder {
    /// What the server knows the caller by.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How long an answer may take. It does not bound what reads or writes all that is stored:
    /// rebuilds, verification, erasure, and snapshots and trims of a whole join.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How requests are repeated that may be.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Trusts the certificate authorities of a PEM file, and no longer the system's.
    #[must_use]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Where waits get their spread from: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn chance(mut self, chance: fn() -> f64) -> Self {
        self.chance = chance;
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the URL, token or certificate is none.
    pub fn build(self) -> Result<Client, Error> {
        let url = parse_url(&self.url)?;
        let loopback = match url.host_str().unwrap_or_default().trim_matches(['[', ']']) {
            "localhost" => true,
            host => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        };
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("millpond-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .tls_backend_preconfigured(tls::config(url.scheme() == "https", &self.authorities)?);
        if loopback {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Error::Invalid(format!("cannot make a client: {error}")))?;
        Ok(Client {
            shared: Arc::new(Shared {
                url: url.as_str().trim_end_matches('/').to_owned(),
                http,
                token: self.token.as_deref().map(bearer).transpose()?,
                timeout: self.timeout,
                retry: self.retry,
                chance: self.chance,
            }),
        })
    }
}

fn parse_url(text: &str) -> Result<reqwest::Url, Error> {
    let expected = "expected one such as http://127.0.0.1:7717";
    let url = reqwest::Url::parse(text)
        .map_err(|error| Error::Invalid(format!("`{text}` is no URL: {error}; {expected}")))?;
    let plain = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !plain || url.query().is_some() || url.fragment().is_some() {
        return Err(Error::Invalid(format!("`{text}` is not the URL of a server; {expected}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Invalid("the server's URL has a name or password in it; give a token instead".into()));
    }
    Ok(url)
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let wrong = "the token has characters that no token has; give it as `millpond token add` printed it";
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| plain);
    let mut value = value.ok_or_else(|| Error::Invalid(wrong.into()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_server_is_said_before_anything_is_sent() {
        for (url, says) in [
            ("127.0.0.1:7717", "is no"),
            ("ftp://x", "not the URL of a server"),
            ("http://x/?a=b", "not the URL of a server"),
            ("http://me:secret@x", "token"),
        ] {
            let error = Client::new(url).expect_err(url).to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
        let pem = Client::builder("https://x").ca_certificate("no PEM").build().expect_err("no certificate");
        assert!(pem.to_string().contains("PEM"), "{pem}");
        let token = Client::builder("http://x").token("a b").build().expect_err("a space");
        assert!(token.to_string().contains("token add"), "{token}");
    }

    #[test]
    fn a_path_before_the_routes_is_kept() {
        assert_eq!(Client::new("http://x/pond/").expect("a URL").url(), "http://x/pond");
    }
}
