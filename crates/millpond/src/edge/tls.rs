//! TLS: the certificate from files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::watched::Watched;

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A certificate and its key.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    loaded: Watched<ServerConfig, [Stamp; 2]>,
}

type Stamp = Option<(SystemTime, u64)>;

impl Tls {
    /// # Errors
    /// If a file cannot be read, has no certificate or key, or they do not belong together.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self> {
        let loaded = Watched::new("the certificate and its key", read(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), loaded })
    }

    /// What to shake hands with: the files as they are, or as they were when they were right last.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let Self { cert, key, loaded } = self;
        loaded.current(|| stamps(cert, key), |_| read(cert, key))
    }
}

fn stamps(cert: &Path, key: &Path) -> [Stamp; 2] {
    [stamp(cert), stamp(key)]
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(cert: &Path, key: &Path) -> Result<(ServerConfig, [Stamp; 2])> {
    let stamps = stamps(cert, key); // before: what changes meanwhile is read again
    let unreadable = |what, path: &Path| format!("cannot read {what} from {}", path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .with_context(|| unreadable("a certificate", cert))?;
    anyhow::ensure!(!chain.is_empty(), "{} has no certificate: expected PEM (`BEGIN CERTIFICATE`)", cert.display());
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable("a private key", key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS 1.2 and 1.3")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("cannot use {} with the key in {}", cert.display(), key.display()))?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok((config, stamps))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, write};
    use std::time::Duration;

    use super::*;

    /// A read that failed once was taken for done: the old certificate stayed until the next change.
    #[tokio::test(start_paused = true)]
    async fn files_that_could_not_be_read_are_read_later_though_they_look_the_same() {
        let dir = tempfile::tempdir().expect("a folder");
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        let put = |path: &Path, text: &str| {
            write(path, text).expect("it is written");
            let file = File::options().write(true).open(path).expect("it is there");
            file.set_modified(moment).expect("its time is set");
        };
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (first, second) = (made(), made());
        put(&cert, &first.cert.pem());
        put(&key, &first.signing_key.serialize_pem());
        let tls = Tls::load(&cert, &key).expect("they belong together");
        let before = tls.config();
        put(&key, &format!("{}\n", second.signing_key.serialize_pem()));
        put(&cert, &"?".repeat(second.cert.pem().len() + 1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(Arc::ptr_eq(&tls.config(), &before), "it cannot be read");
        put(&cert, &format!("{}\n", second.cert.pem()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!Arc::ptr_eq(&tls.config(), &before), "it can be read by now");
    }
}
