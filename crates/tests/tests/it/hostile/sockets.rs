//! Sockets that say nothing or stop in the middle: each is closed, and none keeps others out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hexline_server::config::{Config, TlsConfig};
use hexline_tests::{TestServer, client, within};
use reqwest::Method;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::interval;
use tokio_rustls::TlsConnector;

/// What a socket sends before it falls silent.
const SILENT: [(&str, &[u8]); 7] = [
    ("nothing", b""),
    ("P", b"P"),
    ("half an HTTP/2 preface", b"PRI * HTTP/2"),
    ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (
        "an HTTP/2 preface and SETTINGS",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ),
    ("half a head", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-mo"),
    (
        "a head and half a body",
        b"POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\nidentity",
    ),
];

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

fn impatient(config: &mut Config) {
    config.limits.header_patience = Duration::from_millis(300);
    config.token_service.enabled = true;
}

/// A server with TLS, and how to speak to it.
struct TlsServer {
    server: TestServer,
    connector: TlsConnector,
    _dir: TempDir,
}

impl TlsServer {
    async fn start() -> Self {
        Self::start_with(impatient).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new().expect("a directory");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate");
        let tls = TlsConfig {
            cert_file: dir.path().join("cert.pem"),
            key_file: dir.path().join("key.pem"),
        };
        std::fs::write(&tls.key_file, made.signing_key.serialize_pem()).expect("written");
        std::fs::write(&tls.cert_file, made.cert.pem()).expect("written");
        let server = TestServer::start_in_real_time(|config| {
            change(config);
            config.tls = Some(tls);
        })
        .await;
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(made.cert.der().to_vec()))
            .expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            server,
            connector: TlsConnector::from(Arc::new(config)),
            _dir: dir,
        }
    }

    async fn connect(&self) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        let name = ServerName::try_from("localhost").expect("a name");
        let socket = connect(&self.server).await;
        within("the handshake", self.connector.connect(name, socket))
            .await
            .expect("the certificate is trusted")
    }
}

async fn connect(server: &TestServer) -> TcpStream {
    within("connecting", TcpStream::connect(server.at()))
        .await
        .expect("it listens")
}

/// Sends something, then waits for the server to close the socket.
async fn is_closed_after(what: &str, sent: &[u8], mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    socket.write_all(sent).await.expect("written");
    socket.flush().await.expect("written");
    ends(what, socket).await;
}

async fn ends(what: &str, mut socket: impl AsyncRead + Unpin) {
    let mut rest = Vec::new();
    // Whether it ends well or badly: it ends.
    let _ = within(what, socket.read_to_end(&mut rest)).await;
}

/// Asks and is answered, and keeps the connection.
async fn asks(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    socket.write_all(ASK).await.expect("written");
    socket.flush().await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = within("an answer", socket.read_buf(&mut answer)).await;
        assert!(read.is_ok_and(|bytes| bytes > 0), "it was closed");
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

/// Sends one more header line every now and then, and never the last one.
async fn trickles_a_head(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let mut pace = interval(Duration::from_millis(20));
    socket
        .write_all(b"GET / HTTP/1.1\r\n")
        .await
        .expect("written");
    let trickling = async {
        loop {
            pace.tick().await;
            let line = socket.write_all(b"a: b\r\n").await;
            if line.is_err() || socket.flush().await.is_err() {
                return;
            }
            if socket.read(&mut [0; 64]).now_or_never().is_some() {
                return;
            }
        }
    };
    within("the end of a slow head", trickling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_socket_is_closed_whatever_it_sent_before() {
    let server = TestServer::start_in_real_time(impatient).await;
    join_all(SILENT.map(|(what, sent)| {
        let server = &server;
        async move { is_closed_after(what, sent, connect(server).await).await }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_socket_is_closed_over_tls_too_whatever_it_sent_before() {
    let tls = TlsServer::start().await;
    join_all(SILENT.map(|(what, sent)| {
        let tls = &tls;
        async move { is_closed_after(what, sent, tls.connect().await).await }
    }))
    .await;
    let half_a_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for sent in [&b""[..], half_a_hello] {
        is_closed_after("no handshake", sent, connect(&tls.server).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_line_by_line_and_never_ends_is_cut_off() {
    let tls = TlsServer::start().await;
    let server = TestServer::start_in_real_time(impatient).await;
    tokio::join!(
        async { trickles_a_head(connect(&server).await).await },
        async { trickles_a_head(tls.connect().await).await },
        async {
            let mut socket = connect(&server).await;
            asks(&mut socket).await;
            trickles_a_head(socket).await;
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_its_answer() {
    let tls = TlsServer::start().await;
    let server = TestServer::start_in_real_time(impatient).await;
    let mut clear = connect(&server).await;
    asks(&mut clear).await;
    asks(&mut clear).await;
    ends("an idle connection", clear).await;
    let mut sealed = tls.connect().await;
    asks(&mut sealed).await;
    ends("an idle connection over TLS", sealed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_2_preface_is_refused_without_waiting() {
    // So patient that the test would not see the end of it.
    let server = TestServer::start_in_real_time(|config| {
        config.limits.header_patience = Duration::from_hours(1);
    })
    .await;
    for (what, sent) in &SILENT[3..5] {
        is_closed_after(what, sent, connect(&server).await).await;
    }
}

// Regression: such a socket held the server until the end of its patience or of the drain.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_have_sent_nothing_do_not_hold_a_stop_up() {
    let patient = |config: &mut Config| {
        config.limits.header_patience = Duration::from_hours(1);
        config.drain = Duration::from_hours(1);
    };
    let mut clear = TestServer::start_in_real_time(patient).await;
    let _silent = connect(&clear).await;
    // Accepted after the silent one.
    asks(&mut connect(&clear).await).await;
    clear.stop().await;

    let mut tls = TlsServer::start_with(patient).await;
    let _silent = connect(&tls.server).await;
    asks(&mut tls.connect().await).await;
    tls.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_read_as_long_as_it_makes_progress() {
    let server = TestServer::start_in_real_time(|config| {
        impatient(config);
        config.limits.header_patience = Duration::from_secs(2);
        config.token_service.app = Some("one".to_owned());
    })
    .await;
    server.app("one").await;
    let mut socket = connect(&server).await;
    let body = b"identity=bob&device=a";
    let head = format!(
        "POST /token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    let mut pace = interval(Duration::from_millis(150));
    for byte in body {
        pace.tick().await;
        socket.write_all(&[*byte]).await.expect("written");
    }
    let mut answer = String::new();
    within("the answer", socket.read_to_string(&mut answer))
        .await
        .expect("text");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_may_take_longer_than_a_head() {
    let server = TestServer::start_in_real_time(impatient).await;
    let whole = client().get(server.url("/openapi.json")).send().await;
    let whole = whole.expect("an answer").bytes().await.expect("a body");
    // More than the buffers of both kernels hold, so that the server has to wait for the reader.
    assert!(whole.len() > 100_000, "{}", whole.len());
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small one");
    let mut slow = socket.connect(server.at()).await.expect("it listens");
    slow.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("written");
    let (mut read, mut part) = (0, [0; 2048]);
    let mut pace = interval(Duration::from_millis(10));
    while read < whole.len() {
        pace.tick().await;
        let bytes = within("more of the answer", slow.read(&mut part)).await;
        let bytes = bytes.expect("the answer goes on");
        assert!(bytes > 0, "cut off after {read} bytes");
        read += bytes;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_websockets_are_not_waited_for() {
    let server = TestServer::start_in_real_time(impatient).await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    let owner = server.operator().await;
    let live = owner.request(Method::GET, "/live").send().await;
    let mut events = live.expect("an answer");
    // One comes each second.
    for _ in 0..3 {
        let event = within("an event", events.chunk()).await;
        assert!(event.is_ok_and(|event| event.is_some()));
    }
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_silent_socket_of_an_address_gives_way_to_the_257th() {
    let server = TestServer::start_in_real_time(|config| {
        config.limits.header_patience = Duration::from_hours(1);
    })
    .await;
    let mut idle = connect(&server).await;
    asks(&mut idle).await;
    let mut silent = Vec::new();
    for _ in 0..257 {
        silent.push(connect(&server).await);
    }
    let mut served = connect(&server).await;
    asks(&mut served).await;
    let (first, others) = silent.split_at_mut(2);
    for socket in first {
        ends("the oldest", socket).await;
    }
    let mut byte = [0; 1];
    for socket in others {
        assert!(socket.read(&mut byte).now_or_never().is_none());
    }
    asks(&mut idle).await;
}
