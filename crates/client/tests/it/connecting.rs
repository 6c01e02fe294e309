use std::sync::Arc;
use std::time::Duration;

use hexline_client::{Auth, Client, ConnectError, ConnectOptions};
use hexline_token::TokenBuilder;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::server::Server;

const TOKEN: &str = "e30.e30.c2ln";

#[tokio::test]
async fn the_token_is_handed_over_as_asked() {
    let server = Server::start().await;
    let path = "/client/v1/signal/pubsub";
    for (auth, target, authorization, protocols) in [
        (
            Auth::Query,
            format!("{path}?jwt={TOKEN}"),
            String::new(),
            String::new(),
        ),
        (
            Auth::Bearer,
            path.to_owned(),
            format!("Bearer {TOKEN}"),
            String::new(),
        ),
        (
            Auth::SubProtocol,
            path.to_owned(),
            String::new(),
            format!("hexline.v1, bearer.{TOKEN}"),
        ),
    ] {
        let (_client, _events, peer) = server.pair(server.options().auth(auth)).await;
        assert_eq!(peer.target, target);
        assert_eq!(
            (peer.authorization, peer.protocols),
            (authorization, protocols)
        );
    }
}

#[tokio::test]
async fn without_a_url_the_audience_of_the_token_leads_the_way() {
    let server = Server::start().await;
    let base = server
        .url()
        .replace("ws://", "http://")
        .replace("/client/v1/signal/pubsub", "");
    let token = TokenBuilder::create()
        .key("b234fdb83571400f9b62e204d735126e", "x".repeat(43))
        .api(base)
        .identity("alice")
        .device("web1")
        .grant("signal", true)
        .build()
        .expect("a token");
    let (_client, _events, peer) = server.pair(ConnectOptions::new(token)).await;
    assert_eq!(peer.target, "/client/v1/signal/pubsub");
}

#[tokio::test]
async fn a_refusal_tells_status_code_and_message_even_if_it_comes_in_pieces() {
    let server = Server::start().await;
    let body = format!(r#"{{"code":"token_expired","message":"at 10, token {TOKEN}"}}"#);
    let refuse = async {
        let mut stream = server.tcp().await;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.expect("a request");
        let head = format!(
            "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        for piece in [
            &head[..20],
            &head[20..head.len() - 2],
            "\r\n",
            &body[..7],
            &body[7..],
        ] {
            stream.write_all(piece.as_bytes()).await.expect("written");
            stream.flush().await.expect("flushed");
            tokio::task::yield_now().await;
        }
        stream
    };
    let (refused, _stream) = tokio::join!(Client::connect(server.options()), refuse);
    let error = refused.expect_err("refused");
    assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    assert!(!error.may_retry());
    match error {
        ConnectError::Refused {
            status: 401,
            code,
            message,
        } => {
            assert_eq!(code.as_deref(), Some("token_expired"));
            assert_eq!(message, "at 10, token …");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_websocket_server_is_told_apart_and_never_shows_the_token() {
    let server = Server::start().await;
    let long = "x".repeat(100_000);
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        &long,
    ] {
        let answering = async {
            let mut stream = server.tcp().await;
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.expect("a request");
            // The client may hang up before it has read everything.
            let _ = stream.write_all(answer.as_bytes()).await;
        };
        let options = server.options().auth(Auth::Query);
        let (connected, ()) = tokio::join!(Client::connect(options), answering);
        let error = connected.expect_err("no WebSocket");
        assert!(matches!(error, ConnectError::NotWebSocket(_)), "{error:?}");
        assert!(error.may_retry());
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_on() {
    let server = Server::start().await;
    let options = server.options().connect_timeout(Duration::from_millis(50));
    let error = Client::connect(options).await.expect_err("nobody answers");
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let url = Server::start().await.url();
    let error = Client::connect(ConnectOptions::new(TOKEN).url(url))
        .await
        .expect_err("nobody");
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_self_signed_server_is_trusted_only_if_its_certificate_was_given() {
    let plain = signed(|_| {});
    // As `openssl req -x509` makes them.
    let authority = signed(|p| p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    for own in [plain, authority] {
        let server = Server::start().await;
        let url = server.url().replace("ws://127.0.0.1", "wss://localhost");
        let pem = own.0.pem();
        let acceptor = acceptor(own);
        let options = ConnectOptions::new(TOKEN).url(url);
        let trusting = options
            .clone()
            .root_certificates_pem(pem.as_bytes())
            .expect("a root");
        let other = signed(|_| {}).0;
        let mistrusting = options.clone().root_certificate(other.der().to_vec());
        for (options, trusted) in [(options, false), (mistrusting, false), (trusting, true)] {
            let serve = async {
                let stream = acceptor.accept(server.tcp().await).await.ok()?;
                tokio_tungstenite::accept_async(stream).await.ok()
            };
            let (connected, _peer) = tokio::join!(Client::connect(options), serve);
            match connected {
                Ok(_) => assert!(trusted),
                Err(ConnectError::Tls { .. }) => assert!(!trusted),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_trusted_certificate_of_another_host_is_not_enough() {
    let own = signed(|p| {
        p.subject_alt_names = vec![rcgen::SanType::DnsName(
            "a.example".try_into().expect("a name"),
        )];
        p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let server = Server::start().await;
    let url = server.url().replace("ws://127.0.0.1", "wss://localhost");
    let options = ConnectOptions::new(TOKEN)
        .url(url)
        .root_certificate(own.0.der().to_vec());
    let acceptor = acceptor(own);
    let serve = async { acceptor.accept(server.tcp().await).await.is_ok() };
    let (connected, _) = tokio::join!(Client::connect(options), serve);
    assert!(
        matches!(connected, Err(ConnectError::Tls { .. })),
        "{connected:?}"
    );
}

type Own = (rcgen::Certificate, rcgen::KeyPair);

fn signed(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Own {
    let names = vec!["localhost".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).expect("names");
    change(&mut params);
    let key = rcgen::KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate"), key)
}

fn acceptor((certificate, key): Own) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate with its key");
    TlsAcceptor::from(Arc::new(config))
}
