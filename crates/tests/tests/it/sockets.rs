//! Sockets, whatever they are used for: who may hold how many, and for how long.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::FutureExt;
use hexline_model::Secret;
use hexline_server::config::{Config, TlsConfig};
use hexline_tests::{Socket, TestServer, within};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

fn five_per_address(config: &mut Config) {
    config.limits.connections_per_address = 5;
    config.limits.sockets_per_address = 5;
    config.metrics_bearer = Some(Secret::new("figures-7f".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_holds_so_many_silent_sockets_and_no_more() {
    let server = TestServer::start_with(five_per_address).await;
    let one = Ipv4Addr::LOCALHOST;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(served(connect(&server, one).await).await);
    }
    assert!(is_closed(connect(&server, one).await).await);
    let mut other = served(connect(&server, Ipv4Addr::new(127, 0, 0, 2)).await).await;
    let metrics = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                   authorization: Bearer figures-7f\r\n\r\n";
    other.write_all(metrics.as_bytes()).await.expect("written");
    let mut figures = String::new();
    within("the figures", other.read_to_string(&mut figures))
        .await
        .expect("text");
    assert!(
        figures.contains("hexline_sockets_refused_total 1"),
        "{figures}"
    );
    drop(held.pop());
    // The server knows of the end a moment after the client.
    within("a place becomes free", async {
        while is_closed(connect(&server, one).await).await {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_has_become_a_connection_still_counts() {
    let server = TestServer::start_with(five_per_address).await;
    let app = server.app("one").await;
    let mut connections = Vec::new();
    for n in 0..5 {
        connections.push(app.connect(&format!("bob/web{n}")).await);
    }
    let request = app.request(&app.token("bob/web5"));
    assert!(
        Socket::open(server.at(), "bob/web5", request)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_may_hold_more_sockets_than_an_address() {
    let server = TestServer::start_with(|config| {
        five_per_address(config);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(served(connect(&server, Ipv4Addr::LOCALHOST).await).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_never_finish_the_tls_handshake_count_too() {
    let dir = TempDir::new().expect("a directory");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let tls = TlsConfig {
        cert_file: dir.path().join("cert.pem"),
        key_file: dir.path().join("key.pem"),
    };
    std::fs::write(&tls.key_file, made.signing_key.serialize_pem()).expect("written");
    std::fs::write(&tls.cert_file, made.cert.pem()).expect("written");
    let server = TestServer::start_with(|config| {
        five_per_address(config);
        config.tls = Some(tls);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(connect(&server, Ipv4Addr::LOCALHOST).await);
    }
    // Whichever of them was accepted last; the others have 10 s for their handshake.
    let ends = silent
        .into_iter()
        .map(|mut socket| async move { socket.read(&mut [0; 1]).await.unwrap_or(0) }.boxed());
    let (read, _, rest) = within("one too many", futures_util::future::select_all(ends)).await;
    assert_eq!((read, rest.len()), (0, 5));
    let still_open = |end: futures_util::future::BoxFuture<'_, usize>| end.now_or_never().is_none();
    assert!(rest.into_iter().all(still_open));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_never_reads_the_answers_is_cut_off() {
    let server = TestServer::start().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small one");
    let mut greedy = socket.connect(server.at()).await.expect("it listens");
    let requests = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let asking = async { while greedy.write_all(requests.as_bytes()).await.is_ok() {} };
    server.advance_until(Duration::from_secs(1), asking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_has_left_no_connection_behind() {
    let mut server = TestServer::start_with(|config| {
        config.token_service.enabled = true;
    })
    .await;
    let app = server.app("one").await;
    // Neither answers: the one a close frame, the other the server's patience for its body.
    let mut deaf = TcpStream::connect(server.at()).await.expect("it listens");
    let upgrade = format!(
        "GET /client/signal/v1/pubsub?jwt={} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        app.token("bob/web")
    );
    deaf.write_all(upgrade.as_bytes()).await.expect("written");
    let mut first = [0; 12];
    deaf.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 101");
    let mut slow = TcpStream::connect(server.at()).await.expect("it listens");
    let post = "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\
                expect: 100-continue\r\n\r\n";
    slow.write_all(post.as_bytes()).await.expect("written");
    slow.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 100");

    server.stop_while_time_passes().await;
    for mut socket in [deaf, slow] {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(1), socket.read_to_end(&mut rest));
        // Whether it ends well or badly: it has ended.
        let _ = end.await.expect("its end came before the server's");
    }
}

async fn connect(server: &TestServer, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = SocketAddr::from((from, 0));
    socket.bind(from).expect("an address of this machine");
    within("connecting", socket.connect(server.at()))
        .await
        .expect("the kernel takes the connection")
}

/// Shows that the server has taken the socket, and leaves it silent.
async fn served(mut socket: TcpStream) -> TcpStream {
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = within("an answer", socket.read_buf(&mut answer)).await;
        assert!(read.is_ok_and(|bytes| bytes > 0), "it was closed");
    }
    socket
}

/// Whether the server closes the socket rather than answer.
async fn is_closed(mut socket: TcpStream) -> bool {
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let _ = socket.write_all(request.as_bytes()).await;
    let mut answer = [0; 1];
    !within("an answer or the end", socket.read(&mut answer))
        .await
        .is_ok_and(|bytes| bytes > 0)
}
