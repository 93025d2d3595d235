//! TLS: the certificate from files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::Instant;

pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";
/// How often the files are looked at, when somebody connects.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A certificate and its key.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    /// The files as they were when they were read last, well or badly.
    stamps: [Stamp; 2],
    looked: Instant,
}

type Stamp = Option<(SystemTime, u64)>;

impl Tls {
    /// # Errors
    /// If a file cannot be read, has no certificate or key, or they do not belong together.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self> {
        let stamps = [stamp(cert), stamp(key)];
        let config = Arc::new(read(cert, key)?);
        let loaded = Mutex::new(Loaded { config, stamps, looked: Instant::now() });
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), loaded })
    }

    /// What to shake hands with: the files as they are, or as they were when they were right last.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked.elapsed() >= LOOK_EVERY {
            loaded.looked = Instant::now();
            let stamps = [stamp(&self.cert), stamp(&self.key)];
            if std::mem::replace(&mut loaded.stamps, stamps) != stamps {
                match read(&self.cert, &self.key) {
                    Ok(config) => {
                        loaded.config = Arc::new(config);
                        tracing::info!(file = %self.cert.display(), "took a new certificate");
                    }
                    Err(error) => tracing::warn!(
                        error = format!("{error:#}"),
                        "the new certificate cannot be used; the old one stays"
                    ),
                }
            }
        }
        Arc::clone(&loaded.config)
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(cert: &Path, key: &Path) -> Result<ServerConfig> {
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
    Ok(config)
}
