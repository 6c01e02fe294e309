//! TLS by certificate files.

use std::path::Path;
use std::time::Duration;

use hexline_client::{Client, ConnectError, ConnectOptions, Event};
use hexline_server::Server;
use hexline_server::config::{Config, TlsConfig};
use hexline_tests::{TestServer, within};
use serde_json::json;
use tempfile::TempDir;

/// A certificate for localhost and its key, on disk.
struct Files {
    dir: TempDir,
    pem: String,
    tls: TlsConfig,
}

impl Files {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        let tls = TlsConfig {
            cert_file: dir.path().join("cert.pem"),
            key_file: dir.path().join("key.pem"),
        };
        let pem = write(&tls.cert_file, &tls.key_file);
        Self { dir, pem, tls }
    }
}

fn write(cert_file: &Path, key_file: &Path) -> String {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(key_file, made.signing_key.serialize_pem()).expect("written");
    std::fs::write(cert_file, made.cert.pem()).expect("written");
    made.cert.pem()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_that_trust_the_certificate_talk() {
    let files = Files::new();
    let server = TestServer::start_with(|config| config.tls = Some(files.tls.clone())).await;
    assert!(server.base().starts_with("https://localhost:"));
    let app = server.app("one").await;
    let options = |subject| {
        ConnectOptions::new(app.token(subject))
            .root_certificates_pem(files.pem.as_bytes())
            .expect("a root")
    };
    let (_bob, mut events) = Client::connect(options("bob/web")).await.expect("let in");
    let (alice, _) = Client::connect(options("alice/web")).await.expect("let in");
    assert_eq!(
        alice
            .send("bob", json!({"text": "hi"}))
            .await
            .expect("sent"),
        1
    );
    let Some(Event::Push(push)) = within("the push", events.recv()).await else {
        panic!("a push was wanted");
    };
    assert_eq!(push.method, "signal.send");

    let stranger = ConnectOptions::new(app.token("eve/web"));
    let refused = Client::connect(stranger).await.err();
    assert!(
        matches!(refused, Some(ConnectError::Tls { .. })),
        "{refused:?}"
    );

    // Another test of this process may have done so.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(files.pem.as_bytes()).expect("a root");
    let http = reqwest::Client::builder()
        .tls_certs_only([root])
        .build()
        .expect("a client");
    let url = format!("{}/healthz", server.base());
    let answer = within("the answer", http.get(url).send())
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert!(
        http.get(server.url("/healthz")).send().await.is_err(),
        "there is no plain http on that port"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_up_within_half_a_minute() {
    let files = Files::new();
    let server = TestServer::start_with(|config| config.tls = Some(files.tls.clone())).await;
    let app = server.app("one").await;
    let open = async |pem: &str| {
        let options = ConnectOptions::new(app.token("alice/web"));
        let options = options.root_certificates_pem(pem.as_bytes());
        Client::connect(options.expect("a root")).await
    };
    let renewed = write(&files.tls.cert_file, &files.tls.key_file);
    assert!(open(&files.pem).await.is_ok());
    server.advance(Duration::from_secs(29));
    let refused = open(&renewed).await.err();
    assert!(
        matches!(refused, Some(ConnectError::Tls { .. })),
        "{refused:?}"
    );
    server.advance(Duration::from_secs(1));
    let taken_up = async { while open(&renewed).await.is_err() {} };
    within("the new certificate", taken_up).await;
    assert!(open(&files.pem).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_a_key_that_do_not_fit_stop_the_start() {
    let files = Files::new();
    let other = files.dir.path().join("other.pem");
    write(&other, &files.tls.key_file);
    let data = TempDir::new().expect("a directory");
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: data.path().to_owned(),
        tls: Some(files.tls),
        ..Config::defaults()
    };
    let error = Server::start(config).await.err().expect("no start");
    assert!(
        format!("{error:#}").contains("certificate and private key do not fit"),
        "{error:#}"
    );
}
