//! TLS with a certificate that is in the sources: kubectl sends its token over nothing less.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Guards nothing: everybody has it. For loopback addresses only.
pub(crate) const PRIVATE_KEY: &[u8] = include_bytes!("loopback.key");
const CERTIFICATE: &[u8] = include_bytes!("loopback.crt");

pub(crate) fn acceptor() -> io::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(PRIVATE_KEY).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
