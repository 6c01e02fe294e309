use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, bail};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsConfig;

/// The one crypto provider, handed to whoever needs it.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificate and key that new connections get.
#[derive(Clone)]
pub(crate) struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Reads certificate and key, and proves that they belong together.
    pub(crate) fn load(files: &TlsConfig) -> anyhow::Result<Self> {
        let config = Arc::new(server_config(files)?);
        Ok(Self(Arc::new(RwLock::new(config))))
    }

    /// Reads the files again into a running server; what it had stays if they are not good.
    pub(crate) fn reload(&self, files: &TlsConfig) -> anyhow::Result<()> {
        let config = Arc::new(server_config(files)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Makes handshakes with what was read last.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}

fn server_config(files: &TlsConfig) -> anyhow::Result<ServerConfig> {
    let cert_file = files.cert_file.display();
    let chain = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read certificates from {cert_file}"))?;
    if chain.is_empty() {
        bail!("{cert_file} holds no certificate; expected PEM, the server's own first");
    }
    let key = PrivateKeyDer::from_pem_file(&files.key_file).with_context(|| {
        format!(
            "cannot read a private key from {}",
            files.key_file.display()
        )
    })?;
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .context("the crypto provider knows no TLS version")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and private key do not fit")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
