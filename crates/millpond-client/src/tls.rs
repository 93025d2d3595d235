//! TLS with ring, and the system's certificate authorities or those given.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::Error;

/// For a plain URL, whatever is said of certificates is checked nevertheless, and trusted by nobody.
pub(crate) fn config(secure: bool, authorities: &[Vec<u8>]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring knows the usual versions");
    if secure && authorities.is_empty() {
        let verifier = Verifier::new(provider).map_err(|error| {
            Error::Invalid(format!("the system's certificates cannot be read: {error}; give one with --ca"))
        })?;
        return Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth());
    }
    Ok(builder.with_root_certificates(roots(authorities)?).with_no_client_auth())
}

fn roots(authorities: &[Vec<u8>]) -> Result<RootCertStore, Error> {
    let wrong =
        |what: String| Error::Invalid(format!("the certificate authority is not understood: {what}; expected PEM"));
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(wrong("it holds no certificate".into()));
        }
    }
    Ok(roots)
}
