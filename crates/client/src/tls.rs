use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::endpoint::Endpoint;
use crate::error::ConnectError;

/// Speaks TLS on `stream`, trusting the public authorities and `extra` certificates.
pub(crate) async fn secure(
    stream: TcpStream,
    endpoint: &Endpoint,
    extra: &[CertificateDer<'static>],
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let failed = |source| ConnectError::Tls {
        authority: endpoint.authority(),
        source,
    };
    let name = ServerName::try_from(endpoint.host().to_owned())
        .map_err(|_| ConnectError::Url("its host cannot stand in a certificate"))?;
    let config = config(extra)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(failed)
}

fn config(extra: &[CertificateDer<'static>]) -> Result<ClientConfig, ConnectError> {
    let unusable = |e: &dyn std::fmt::Display| ConnectError::Certificate(e.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    for certificate in extra {
        roots.add(certificate.clone()).map_err(|e| unusable(&e))?;
    }
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|e| unusable(&e))?;
    let verifier = SelfSignedToo {
        usual,
        trusted: extra.to_vec(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The usual verification, and one case more. `openssl req -x509` makes self-signed certificates
/// that call themselves an authority; the usual verification refuses an authority as a server's
/// certificate, even one that the user said to trust. Such a certificate is accepted if it is, byte
/// for byte, one that the user gave, and names the host.
#[derive(Debug)]
struct SelfSignedToo {
    usual: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for SelfSignedToo {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual =
            self.usual
                .verify_server_cert(end_entity, intermediates, server_name, ocsp, now);
        match usual {
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self
                    .trusted
                    .iter()
                    .any(|t| t.as_ref() == end_entity.as_ref()) =>
            {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
