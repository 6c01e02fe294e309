use std::fmt;
use std::time::Duration;

use hexline_model::Secret;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::endpoint::Endpoint;
use crate::error::ConnectError;

/// How to connect: the token, and everything that has a default.
#[derive(Clone)]
pub struct ConnectOptions {
    pub(crate) token: Secret<String>,
    pub(crate) url: Option<String>,
    pub(crate) auth: Auth,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) ping_every: Option<Duration>,
    pub(crate) max_message_bytes: usize,
    pub(crate) event_queue_bytes: usize,
}

/// How the token is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// In the URL's query, `?jwt=`, as the original clients do. Proxies may log it.
    Query,
    /// In the header `Authorization: Bearer`.
    #[default]
    Bearer,
    /// As a sub-protocol, `hexline.v1` + `bearer.<jwt>`, as a browser can do without a query.
    SubProtocol,
}

impl ConnectOptions {
    /// Connects with this token, to where its `aud` leads.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: Secret::new(token.into()),
            url: None,
            auth: Auth::default(),
            roots: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            ping_every: Some(Duration::from_secs(25)),
            max_message_bytes: 16 << 20,
            event_queue_bytes: 4 << 20,
        }
    }

    /// Another token, everything else as it is.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Secret::new(token.into());
        self
    }

    /// Connects there, wherever the token's `aud` leads: the socket's `ws://` or `wss://` URL, or
    /// the server's `http://` or `https://` base URL.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// How the token is handed over; the `Authorization` header unless set.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Trusts this certificate (DER) beside the public ones: a private authority's, or a server's
    /// own self-signed one.
    #[must_use]
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(CertificateDer::from(der.into()));
        self
    }

    /// Trusts the certificates in this PEM text beside the public ones.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, ConnectError> {
        let before = self.roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| ConnectError::Certificate(e.to_string()))?;
            self.roots.push(certificate);
        }
        if self.roots.len() == before {
            return Err(ConnectError::Certificate(
                "the PEM text holds none".to_owned(),
            ));
        }
        Ok(self)
    }

    /// How long name look-up, TCP, TLS and the upgrade may take together; 10 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long a call may wait for its answer; 10 s unless set.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// How often to send `_ping`; 25 s unless set. A connection on which nothing at all arrives
    /// for three times as long counts as lost. `None`: neither.
    #[must_use]
    pub fn ping_every(mut self, interval: Option<Duration>) -> Self {
        self.ping_every = interval.map(|interval| interval.max(Duration::from_millis(10)));
        self
    }

    /// The longest message accepted from the server; 16 MiB unless set.
    #[must_use]
    pub fn max_message_bytes(mut self, limit: usize) -> Self {
        self.max_message_bytes = limit;
        self
    }

    /// How many bytes of events may wait to be read before the socket is read no further; 4 MiB
    /// unless set.
    #[must_use]
    pub fn event_queue_bytes(mut self, limit: usize) -> Self {
        self.event_queue_bytes = limit;
        self
    }

    /// Where these options lead.
    pub fn endpoint(&self) -> Result<Endpoint, ConnectError> {
        match &self.url {
            Some(url) => Endpoint::parse(url),
            None => Endpoint::of_token(self.token.expose()),
        }
    }
}

impl Default for ConnectOptions {
    /// Without a token: for [`Reconnecting`](crate::Reconnecting), which gets its own.
    fn default() -> Self {
        Self::new("")
    }
}

// Neither the token nor the URL, whose query may hold anything.
impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("token", &self.token)
            .field("auth", &self.auth)
            .field("roots", &self.roots.len())
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("ping_every", &self.ping_every)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_neither_the_token_nor_the_url() {
        let options = ConnectOptions::new("aaa.bbb.ccc").url("ws://a.example/?key=hush");
        let shown = format!("{options:?}");
        assert!(!shown.contains("bbb") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_pem_text_without_a_certificate_is_an_error() {
        let options = ConnectOptions::new("t");
        assert!(matches!(
            options.clone().root_certificates_pem(b"nothing"),
            Err(ConnectError::Certificate(_))
        ));
        let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(options.root_certificates_pem(broken).is_err());
    }
}
