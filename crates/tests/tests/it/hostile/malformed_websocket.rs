//! Frames against RFC 6455: the connection is closed with the right code before anything is made of
//! them, with bounded memory, and neither the next client nor a neighbour notices.

use hexline_tests::{TestApp, TestServer};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_against_the_protocol_closes_with_1002() {
    let text = |bytes: &[u8]| frame(FIN | TEXT, bytes);
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>| cases.push((what.to_owned(), bytes));
    add("no mask", vec![FIN | TEXT, 5, b'_', b'p', b'i', b'n', b'g']);
    for bit in [0x40, 0x20, 0x10, 0x70] {
        add(
            &format!("reserved bits {bit:#x}"),
            frame(FIN | bit | TEXT, b"_ping"),
        );
        add(
            &format!("reserved bits {bit:#x} of a ping"),
            frame(FIN | bit | PING, b""),
        );
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        add(&format!("opcode {opcode:#x}"), frame(FIN | opcode, b"x"));
        add(&format!("opcode {opcode:#x} in parts"), frame(opcode, b"x"));
    }
    add(
        "16 bits for a short length",
        with_length(FIN | TEXT, &[0x80 | 0x7e, 0, 5], b"_ping"),
    );
    add(
        "16 bits for 125",
        with_length(FIN | TEXT, &[0x80 | 0x7e, 0, 125], &[b' '; 125]),
    );
    add(
        "64 bits for a short length",
        with_length(FIN | TEXT, &[0x80 | 0x7f, 0, 0, 0, 0, 0, 0, 0, 5], b"_ping"),
    );
    add(
        "64 bits for 65535",
        with_length(
            FIN | TEXT,
            &[0x80 | 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[],
        ),
    );
    add(
        "the highest bit of 64",
        with_length(FIN | TEXT, &[0x80 | 0x7f, 0x80, 0, 0, 0, 0, 1, 0, 0], &[]),
    );
    for control in [CLOSE, PING, PONG] {
        add(
            &format!("{control:#x} of 126 bytes"),
            frame(FIN | control, &[b'x'; 126]),
        );
        add(&format!("{control:#x} in parts"), frame(control, b""));
    }
    add("a continuation of nothing", frame(FIN | CONTINUATION, b"x"));
    add("a first part of nothing", frame(CONTINUATION, b"x"));
    let ended = [
        frame(TEXT, b"_pi"),
        frame(FIN | CONTINUATION, b"ng"),
        frame(CONTINUATION, b"x"),
    ];
    add("a continuation after the end", ended.concat());
    add(
        "a text within a text",
        [frame(TEXT, b"_pi"), text(b"ng")].concat(),
    );
    let binary = frame(FIN | BINARY, b"ng");
    add(
        "something else within a text",
        [frame(TEXT, b"_pi"), binary].concat(),
    );
    add("a close of one byte", frame(FIN | CLOSE, &[3]));
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535_u16,
    ] {
        add(
            &format!("close code {code}"),
            frame(FIN | CLOSE, &code.to_be_bytes()),
        );
    }
    refuse_all(&cases, 1002).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_no_utf_8_closes_with_1007_wherever_it_is_cut() {
    let mut cases = Vec::new();
    for (what, bytes) in [
        ("a stray continuation", &b"\"\x80\""[..]),
        ("no byte of UTF-8", b"\"\xff\xfe\""),
        ("an overlong slash", b"\"\xc0\xaf\""),
        ("an overlong letter", b"\"\xe0\x81\x81\""),
        ("half of a pair", b"\"\xed\xa0\x80\""),
        ("beyond the last", b"\"\xf4\x90\x80\x80\""),
        ("cut in a letter", b"\"\xe2\x82"),
    ] {
        cases.push((what.to_owned(), frame(FIN | TEXT, bytes)));
        for cut in 1..bytes.len() {
            let parts = [
                frame(TEXT, &bytes[..cut]),
                frame(FIN | PING, b"between"),
                frame(CONTINUATION, b""),
                frame(FIN | CONTINUATION, &bytes[cut..]),
            ];
            cases.push((format!("{what}, cut at {cut}"), parts.concat()));
        }
    }
    cases.push((
        "the reason of a close".to_owned(),
        frame(
            FIN | CLOSE,
            &[&1000_u16.to_be_bytes()[..], b"\xff"].concat(),
        ),
    ));
    refuse_all(&cases, 1007).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beyond_the_limit_closes_with_1009_before_it_is_read() {
    let length = |length: u64| [&[0x80 | 0x7f][..], &length.to_be_bytes()].concat();
    let mut cases = Vec::new();
    for declared in [
        65_537,
        1 << 20,
        1 << 32,
        1 << 40,
        (1 << 62) + 1,
        i64::MAX as u64,
    ] {
        let alone = with_length(FIN | TEXT, &length(declared), &[]);
        cases.push((format!("{declared} bytes"), alone));
        let part = with_length(TEXT, &length(declared), &[]);
        cases.push((format!("a part of {declared} bytes"), part));
        let later = with_length(FIN | CONTINUATION, &length(declared), &[]);
        let parts = [frame(TEXT, b"x"), later].concat();
        cases.push((format!("a later part of {declared} bytes"), parts));
    }
    refuse_all(&cases, 1009).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_empty_parts_cost_nothing_and_are_one_message() {
    let (_server, app) = started().await;
    let mut bob = app.connect("bob/web").await;
    let mut bytes = frame(TEXT, b"_pi");
    for _ in 0..50_000 {
        bytes.extend(frame(CONTINUATION, b""));
    }
    bytes.extend(frame(FIN | CONTINUATION, b"ng"));
    bob.raw(&bytes).await;
    assert_eq!(bob.frame_text().await, "_pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_none_opens_nothing() {
    let (server, app) = started().await;
    let token = app.token("bob/web");
    let good = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value, wanted) in [
        ("connection", "close", 426),
        ("connection", "upgraded", 426),
        ("upgrade", "h2c", 426),
        ("upgrade", "websocketx", 426),
        ("sec-websocket-version", "12", 426),
        ("sec-websocket-version", "131", 426),
        ("sec-websocket-key", "", 400),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ", 400),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSB0b28=", 400),
        (
            "sec-websocket-key",
            "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
            400,
        ),
    ] {
        let url = format!("{}/client/signal/v1/pubsub?jwt={token}", server.url(""));
        let mut request = hexline_tests::client().get(url);
        for (known, good) in good {
            request = request.header(known, if known == name { value } else { good });
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), wanted, "{name}: {value}");
        if response.status() == StatusCode::UPGRADE_REQUIRED {
            assert_eq!(response.headers()["sec-websocket-version"], "13");
        }
    }
    app.connect("bob/web").await;
}

/// Each case, whole and byte by byte, closes its connection with the code and nobody else's.
async fn refuse_all(cases: &[(String, Vec<u8>)], code: u16) {
    let (_server, app) = started().await;
    let mut neighbour = app.connect("alice/web").await;
    for (what, bytes) in cases {
        let mut bob = app.connect("bob/web").await;
        // Whatever stands behind it is not read any more.
        let behind = frame(FIN | TEXT, SEND.as_bytes());
        bob.raw(&[&bytes[..], &behind].concat()).await;
        assert_eq!(bob.try_closed().await, Some(code), "{what}");
        if bytes.len() < 64 {
            let mut bob = app.connect("bob/web").await;
            for byte in bytes {
                bob.raw(&[*byte]).await;
            }
            assert_eq!(bob.try_closed().await, Some(code), "{what}, byte by byte");
        }
    }
    let mut next = app.connect("bob/web").await;
    next.call("signal.send", json!({"to": "alice", "n": 1}))
        .await;
    let heard = neighbour.expect("signal.send").await;
    assert_eq!(heard["n"], 1, "nothing came of what stood behind");
}

async fn started() -> (TestServer, TestApp) {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    (server, app)
}

/// A frame as a client sends it.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let length = match u16::try_from(length).expect("a short payload") {
        length @ 0..126 => vec![0x80 | u8::try_from(length).expect("below 126")],
        length => [&[0x80 | 0x7e][..], &length.to_be_bytes()].concat(),
    };
    with_length(head, &length, payload)
}

/// A frame that says its length in its own way.
fn with_length(head: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5a, 0x00, 0xff, 0x13];
    let masked = payload.iter().zip(MASK.iter().cycle());
    let masked: Vec<u8> = masked.map(|(byte, mask)| byte ^ mask).collect();
    [&[head], length, &MASK, &masked].concat()
}

const SEND: &str = r#"{"jsonrpc":"2.0","method":"signal.send","params":{"to":"alice","n":0}}"#;

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
