//! Frames below JSON-RPC: `_ping`, sizes, kinds, silence.

use std::time::Duration;

use hexline_server::config::Limits;
use hexline_tests::{Socket, TestServer};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

async fn connected() -> (TestServer, Socket) {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let socket = app.connect("bob/web").await;
    (server, socket)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_ping_gets_a_bare_pong() {
    let (_server, mut bob) = connected().await;
    for _ in 0..3 {
        bob.text("_ping".to_owned()).await;
        assert_eq!(bob.frame_text().await, "_pong");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_frame_closes_with_1003() {
    let (_server, mut bob) = connected().await;
    bob.message(Message::binary(b"_ping".to_vec())).await;
    assert_eq!(bob.closed().await, 1003);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_frame_passes_and_one_byte_more_closes_with_1009() {
    let (_server, mut bob) = connected().await;
    let frame = |size: usize| {
        let head = r#"{"jsonrpc":"2.0","id":1,"method":"signal.send","params":{"to":"x","t":""#;
        let tail = r#""}}"#;
        format!("{head}{}{tail}", "x".repeat(size - head.len() - tail.len()))
    };
    bob.text(frame(65536)).await;
    assert_eq!(bob.frame().await["result"], json!({"delivered": 0}));
    // The server may close while the frame is still on its way.
    let _ = bob.try_message(Message::text(frame(65537))).await;
    assert_eq!(bob.closed().await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_are_one_message_and_are_counted_as_one() {
    let (_server, mut bob) = connected().await;
    bob.raw(&masked(false, TEXT, b"_pi")).await;
    bob.raw(&masked(true, PING, b"between")).await;
    bob.raw(&masked(true, CONTINUATION, b"ng")).await;
    assert_eq!(bob.frame_text().await, "_pong");
    bob.raw(&masked(false, TEXT, &vec![b' '; 40_000])).await;
    bob.raw(&masked(true, CONTINUATION, &vec![b' '; 40_000]))
        .await;
    assert_eq!(bob.closed().await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf8_closes_with_1007() {
    let (_server, mut bob) = connected().await;
    bob.raw(&masked(true, TEXT, b"\"\xff\xfe\"")).await;
    assert_eq!(bob.closed().await, 1007);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_against_rfc_6455_closes_with_1002() {
    for frame in [
        vec![0x80 | TEXT, 5, b'_', b'p', b'i', b'n', b'g'],
        masked(true, 0x3, b"reserved opcode"),
        masked(true, CONTINUATION, b"continues nothing"),
        masked(false, PING, b"a fragmented ping"),
    ] {
        let (_server, mut bob) = connected().await;
        bob.raw(&frame).await;
        assert_eq!(bob.closed().await, 1002, "{frame:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_ping_is_answered() {
    let (_server, mut bob) = connected().await;
    bob.message(Message::Ping(b"payload".as_slice().into()))
        .await;
    assert_eq!(bob.pong().await, b"payload");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_close_is_answered_and_the_leave_told() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    for member in [&mut alice, &mut bob] {
        member
            .call("signal.join", json!({"id": "room", "presence": true}))
            .await;
    }
    alice.expect("signal.join").await;
    bob.message(Message::Close(None)).await;
    bob.try_closed().await;
    alice.expect("signal.leave").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_pinged_and_then_closed_with_4010() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut silent = app.connect("bob/web").await;
    let Limits {
        ping_after,
        idle_close,
        ..
    } = Limits::default();
    server.advance(ping_after);
    silent.unanswered_ping().await;
    server.advance(idle_close.saturating_sub(ping_after));
    assert_eq!(silent.closed_without_a_sign().await, (0, Some(4010)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pong_is_a_sign_of_life() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    // Each ping is answered; six of them take longer than an idle connection lives.
    for _ in 0..6 {
        let ping = bob.server_ping();
        server.advance_until(Duration::from_secs(1), ping).await;
    }
    assert_eq!(bob.after_ping().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_dev_an_echo_gives_back_messages_of_up_to_16_mib() {
    let server = TestServer::start_with(|config| config.dev = true).await;
    let request = || Socket::request(&server.url("/dev/echo"));
    let mut echo = Socket::open(server.at(), "nobody/web", request())
        .await
        .expect("the echo wants no token");
    for text in ["_ping", "", "{", "é"] {
        echo.text(text.to_owned()).await;
        assert_eq!(echo.frame_text().await, text);
    }
    let large = "x".repeat(16 << 20);
    echo.text(large.clone()).await;
    assert!(echo.frame_text().await == large, "the same 16 MiB");
    let _ = echo.try_message(Message::text(format!("{large}x"))).await;
    assert_eq!(echo.closed().await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dev_there_is_no_echo() {
    let server = TestServer::start().await;
    let request = hexline_tests::upgrade(&server.url("/dev/echo"));
    let refused = hexline_tests::refusal_of(request).await;
    assert_eq!(refused, hexline_tests::refusal(404, "not_found"));
}

/// A frame as a client sends it, masked with zeros.
fn masked(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode | if last { 0x80 } else { 0 }];
    match u16::try_from(payload.len()).expect("a short payload") {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).expect("below 126")),
        length => {
            frame.push(0x80 | 0x7e);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const PING: u8 = 9;
