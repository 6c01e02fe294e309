//! Bytes that are no request, or two requests to one reader and one to another: refused with a
//! status below 500 or not answered, never taken for a second request, with bounded memory, and the
//! next client is served.

use std::net::SocketAddr;

use hexline_tests::{TestServer, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_none_is_refused_and_the_connection_closed() {
    let server = TestServer::start_with(|config| config.dev = true).await;
    let long = "x".repeat(200_000);
    let many = "a: b\r\n".repeat(5_000);
    let heads = [
        // The request line.
        "\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /healthz\r\n\r\n",
        "GET /healthz HTTP/9.9\r\nhost: x\r\n\r\n",
        "GET /healthz HTTP/1.1 x\r\nhost: x\r\n\r\n",
        "GET /heal thz HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /healthz\0 HTTP/1.1\r\nhost: x\r\n\r\n",
        "G\0T /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "(GET) /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        // Headers.
        "GET /healthz HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\na: b\r\n\tc\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n host: x\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\na\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\n: b\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhost: x\r\na\u{e9}: b\r\n\r\n",
        // How long the body is.
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\nhello",
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 0x5\r\n\r\nhello",
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-length: 5, 6\r\n\r\nhello",
        "POST /token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "POST /token HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        // More than anybody needs.
        &format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        &format!("GET /healthz HTTP/1.1\r\nhost: x\r\na: {long}{long}{long}\r\n\r\n"),
        &format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
    ];
    for head in heads {
        let shown: String = head.chars().take(70).collect();
        // A second request behind it is not read: where the first one ends is not known.
        let bytes = format!("{head}GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        let statuses = statuses(server.at(), bytes.as_bytes()).await;
        let refused = statuses.iter().all(|status| (400..500).contains(status));
        assert!(refused && statuses.len() <= 1, "{shown:?}: {statuses:?}");
        next_is_served(server.at(), &shown).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_a_body_is_never_taken_for_a_request() {
    let server = TestServer::start_with(|config| config.dev = true).await;
    let hidden = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let length = hidden.len();
    let body = r#"{"identity":"bob","device":"web"}"#;
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let both = chunks.len() + length;
    let post = "POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let cases = [
        // Two lengths: by one of them the body ends before what is hidden, by the other behind it.
        format!(
            "{post}content-length: {both}\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{hidden}"
        ),
        format!(
            "{post}transfer-encoding: chunked\r\ncontent-length: {both}\r\n\r\n{chunks}{hidden}"
        ),
        format!(
            "{post}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n\
             {length:x}\r\n{hidden}\r\n0\r\n\r\n"
        ),
        format!("{post}content-length: {length}\r\ncontent-length: 0\r\n\r\n{hidden}"),
        format!("{post}content-length: {length}, 0\r\n\r\n{hidden}"),
        format!(
            "{post}transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n{hidden}"
        ),
        // Chunks whose size is read in two ways.
        format!("{post}transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n{hidden}"),
        format!("{post}transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n{hidden}"),
        format!("{post}transfer-encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n{hidden}"),
        format!("{post}transfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n{hidden}"),
        format!("{post}transfer-encoding: chunked\r\n\r\n5;a=\"\n\"\r\nhello\r\n0\r\n\r\n{hidden}"),
        format!(
            "{post}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n{hidden}"
        ),
        format!("{post}transfer-encoding: chunked\r\n\r\n0\r\na: b\r\n c\r\n\r\n{hidden}"),
        // What a proxy would not pass on.
        format!("{post}connection: content-length\r\ncontent-length: {length}\r\n\r\n{hidden}"),
        format!("{post}expect: 100-continue, x\r\ncontent-length: {length}\r\n\r\n{hidden}"),
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{hidden}"),
        format!(
            "{post}upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: {length}\r\n\r\n{hidden}"
        ),
    ];
    for case in cases {
        let shown: String = case.chars().skip(post.len()).take(90).collect();
        let statuses = statuses(server.at(), case.as_bytes()).await;
        assert!(statuses.len() <= 1, "{shown:?}: {statuses:?}");
        assert!(statuses.iter().all(|s| *s < 500), "{shown:?}: {statuses:?}");
        next_is_served(server.at(), &shown).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_targets_are_answered_like_any_that_is_not_there() {
    let server = TestServer::start_with(|config| config.dev = true).await;
    for line in [
        "CONNECT evil.example:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET * HTTP/1.1",
        "GET healthz HTTP/1.1",
        "GET http://evil.example/client/v1/me HTTP/1.1",
        "GET http://user:pass@evil.example:99999/ HTTP/1.1",
        "GET /../../etc/passwd HTTP/1.1",
        "GET /console/assets/any/../../../../../etc/passwd HTTP/1.1",
        "GET /console/assets/any/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1",
        "GET /docs/..%5c..%5cetc HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /%ff%fe HTTP/1.1",
        "GET /% HTTP/1.1",
        "GET /%zz?%=%&=&&;;# HTTP/1.1",
        "GET /console/apps/%0d%0aset-cookie:%20a=b HTTP/1.1",
        "GET /client/signal/v1/pubsub?jwt=%0d%0aa:%20b HTTP/1.1",
        "GET /console//evil.example/%2f.. HTTP/1.1",
        "BREW /token HTTP/1.1",
        "TRACE / HTTP/1.1",
        "HEAD /client/signal/v1/pubsub HTTP/1.1",
        "PRI /healthz HTTP/1.1",
        "get /healthz HTTP/1.1",
    ] {
        let bytes =
            format!("{line}\r\nhost: x\r\nsecret: tell-nobody\r\nconnection: close\r\n\r\n");
        let answer = exchange(server.at(), bytes.as_bytes(), false).await;
        let statuses = statuses_in(&answer);
        let fits = statuses.iter().all(|status| (200..500).contains(status));
        assert!(fits && statuses.len() <= 1, "{line}: {statuses:?}");
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        for never in ["root:", "tell-nobody", "set-cookie", "\r\na: b"] {
            assert!(!answer.contains(never), "{line}: {answer}");
        }
        if let Some((_, to)) = answer.split_once("location: ") {
            let to = to.split("\r\n").next().unwrap_or_default();
            assert!(!to.contains("//"), "{line}: leads elsewhere: {to}");
        }
        next_is_served(server.at(), line).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_off_before_it_fills_the_memory() {
    let server = TestServer::start_with(|config| config.dev = true).await;
    let post = "POST /token HTTP/1.1\r\nhost: x\r\n";
    let piece = "x".repeat(64 << 10);
    let lines = "a: b\r\n".repeat(10_000);
    let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
    let tiny = "1\r\nx\r\n".repeat(10_000);
    for (what, start, endless) in [
        ("a method", String::new(), &piece),
        ("a target", "GET /".to_owned(), &piece),
        (
            "a header",
            "GET / HTTP/1.1\r\nhost: x\r\na: ".to_owned(),
            &piece,
        ),
        (
            "headers",
            "GET / HTTP/1.1\r\nhost: x\r\n".to_owned(),
            &lines,
        ),
        (
            "a body with a length",
            format!("{post}content-length: 1099511627776\r\n\r\n"),
            &piece,
        ),
        (
            "chunks",
            format!("{post}transfer-encoding: chunked\r\n\r\n"),
            &chunk,
        ),
        (
            "tiny chunks",
            format!("{post}transfer-encoding: chunked\r\n\r\n"),
            &tiny,
        ),
        (
            "the extension of a chunk",
            format!("{post}transfer-encoding: chunked\r\n\r\n1;"),
            &piece,
        ),
        (
            "trailers",
            format!("{post}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"),
            &lines,
        ),
    ] {
        let sent = poured(server.at(), start.as_bytes(), endless.as_bytes()).await;
        assert!(sent < MOST, "{what}: {sent} bytes were taken");
        next_is_served(server.at(), what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_bytes_changed_at_random_break_nothing() {
    let server = TestServer::start_with(|config| config.dev = true).await;
    let body = r#"{"identity":"bob","device":"web"}"#;
    let good = format!(
        "POST /token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(statuses(server.at(), good.as_bytes()).await, [200]);
    // The same numbers on every run.
    let mut state = 7_u64;
    let mut number = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    for round in 0..400 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=number(4) {
            let at = number(bytes.len());
            match number(3) {
                0 => bytes[at] = u8::try_from(number(256)).expect("a byte"),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n\0: ,;"[number(7)]),
            }
        }
        // Of what is shortened the rest never comes.
        let statuses = statuses_in(&exchange(server.at(), &bytes, true).await);
        let fits = statuses.iter().all(|status| *status < 500);
        assert!(fits, "{round}: {statuses:?} to {bytes:?}");
    }
    next_is_served(server.at(), "all of them").await;
}

/// The statuses of all answers to some bytes.
async fn statuses(at: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    statuses_in(&exchange(at, bytes, false).await)
}

fn statuses_in(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let answers = text.split("HTTP/1.").skip(1);
    let statuses = answers.filter_map(|answer| answer.get(2..5)?.parse().ok());
    // "Go on" is no answer.
    statuses.filter(|status| *status != 100).collect()
}

/// What comes back for some bytes, until the server has nothing more to say.
///
/// Without `ends` an answer is waited for before this half is closed: who has closed may be taken
/// to have lost interest.
async fn exchange(at: SocketAddr, bytes: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.expect("the server listens");
    // The server may refuse before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    while !ends && statuses_in(&answer).is_empty() {
        match within("an answer or the end", stream.read_buf(&mut answer)).await {
            Ok(length) if length > 0 => {}
            _ => return answer,
        }
    }
    let _ = stream.shutdown().await;
    let _ = within("the end", stream.read_to_end(&mut answer)).await;
    answer
}

/// How many bytes a server takes of what never ends.
async fn poured(at: SocketAddr, start: &[u8], endless: &[u8]) -> usize {
    let stream = TcpStream::connect(at).await.expect("the server listens");
    let (mut reader, mut writer) = stream.into_split();
    let mut sent = start.len();
    let pour = async {
        if writer.write_all(start).await.is_err() {
            return;
        }
        while sent < MOST && writer.write_all(endless).await.is_ok() {
            sent += endless.len();
        }
    };
    let mut rest = Vec::new();
    within("the end of it", async {
        tokio::select! {
            () = pour => {}
            // The server has said its last word.
            _ = reader.read_to_end(&mut rest) => {}
        }
    })
    .await;
    assert!(statuses_in(&rest).iter().all(|status| *status < 500));
    sent
}

/// Another client, on a connection of its own, is answered.
async fn next_is_served(at: SocketAddr, after: &str) {
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(statuses(at, request).await, [200], "after {after:?}");
}

/// More than the buffers of both kernels hold.
const MOST: usize = 64 << 20;
