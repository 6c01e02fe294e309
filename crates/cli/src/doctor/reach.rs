use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hexline_server::config::Config;
use hexline_server::control::{self, Answer, Command, StatusView};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::Finding;
use crate::exit::with_causes;

/// Asks the server that runs on the data directory who it is.
pub(super) async fn server(config: &Config) -> Option<StatusView> {
    match control::call(&config.control_path(), &Command::Status).await {
        Ok(Ok(Answer::Status(status))) => Some(status),
        _ => None,
    }
}

pub(super) fn port(config: &Config, server: Option<&StatusView>) -> Finding {
    const NAME: &str = "listen";
    let listen = config.listen;
    if let Some(server) = server {
        let at = server.listen.unwrap_or(listen);
        let StatusView { pid, version, .. } = server;
        return Finding::ok(NAME, format!("{at}, by process {pid}, version {version}"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(NAME, format!("{listen} is free")),
        Err(error) => Finding::fail(NAME, format!("{listen} cannot be listened on: {error}"))
            .remedy("stop what has the port, or choose another with --listen or listen"),
    }
}

pub(super) async fn ready(config: &Config, server: Option<&StatusView>) -> Finding {
    const NAME: &str = "reachable";
    let Some(server) = server else {
        return Finding::ok(NAME, "no server runs on this data directory");
    };
    // Flags may have told a server that does not say where it is something else than we read.
    let sure = server.url.is_some();
    let broken = if sure { Finding::fail } else { Finding::warn };
    let known = server.url.clone();
    let url = known.unwrap_or_else(|| config.base_url(config.listen.port()));
    match ask(config, &format!("{url}/readyz")).await {
        Ok((200, status)) if status == "degraded" => Finding::warn(
            NAME,
            format!(
                "{url}/readyz says degraded: what is connected works, something shared does not"
            ),
        )
        .remedy("see whether the database answers; the server's log says what is missing"),
        Ok((200, _)) => Finding::ok(NAME, format!("{url}/readyz answers 200")),
        Ok((status, _)) => broken(NAME, format!("{url}/readyz answers {status}, expected 200"))
            .remedy("a proxy in between, or the server's log, says why"),
        Err(error) if error.contains("CaUsedAsEndEntity") => Finding::warn(
            NAME,
            format!("{url}: the certificate is self-signed and calls itself an authority"),
        )
        .remedy(
            "listen and send take it with --ca FILE, other clients may not: make one with \
             basicConstraints=CA:FALSE, or have an authority sign it",
        ),
        Err(error) => {
            let remedy = remedy(&error);
            broken(NAME, format!("{url}/readyz: {error}")).remedy(remedy)
        }
    }
}

fn remedy(error: &str) -> &'static str {
    if error.contains("certificate") {
        "the certificate must be valid now and name the host of public_url, or of listen without \
         one: check tls.cert_file, or the proxy's; a restart or half a minute takes a new one up"
    } else {
        "check public_url, name resolution, proxy and firewall"
    }
}

// The HTTP status, and the word that stands in the answer.
async fn ask(config: &Config, url: &str) -> Result<(u16, String), String> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(config).map_err(|e| format!("no TLS: {e}"))?)
        .timeout(WITHIN)
        .build()
        .map_err(|e| format!("no HTTP client: {e}"))?;
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| with_causes(&error.without_url()))?;
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    Ok((
        status,
        body["status"].as_str().unwrap_or_default().to_owned(),
    ))
}

// Trusts the public roots, and the server's own chain: it may be a private authority's.
fn tls(config: &Config) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    if let Some(files) = &config.tls
        && let Ok(chain) = CertificateDer::pem_file_iter(&files.cert_file)
    {
        roots.add_parsable_certificates(chain.flatten());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

const WITHIN: Duration = Duration::from_secs(5);
