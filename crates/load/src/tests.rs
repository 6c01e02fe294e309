//! The scenarios against a small server in this process, over real sockets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser as _;
use futures_util::{SinkExt as _, StreamExt as _};
use hexline_token::UnverifiedToken;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::args::{Args, Command};
use crate::stop::Stop;
use crate::{http, scenario};

/// What waits to be sent to one connection.
#[derive(Clone)]
struct Outbox {
    queue: mpsc::Sender<Utf8Bytes>,
    full: Arc<Notify>,
}

impl Outbox {
    fn put(&self, text: Utf8Bytes) {
        if self.queue.try_send(text).is_err() {
            self.full.notify_one();
        }
    }
}

/// Joins, publishes, sends; closes whoever does not read.
#[derive(Clone, Default)]
struct Hub {
    rooms: Arc<Mutex<HashMap<String, HashMap<SocketAddr, Outbox>>>>,
    /// Identities, each with one connection.
    people: Arc<Mutex<HashMap<String, Outbox>>>,
    /// How many more may enter; the others get 429.
    places: Option<Arc<Mutex<u32>>>,
}

impl Hub {
    /// Listens, and tells the base URL.
    fn start(self) -> String {
        let socket = TcpSocket::new_v4().expect("a socket");
        // So that one who does not read is felt soon.
        socket.set_send_buffer_size(4096).expect("set");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let listener = socket.listen(1024).expect("listening");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(self.accept(listener));
        format!("http://{address}")
    }

    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, peer)) = listener.accept().await {
            tokio::spawn(self.clone().serve(stream, peer));
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let mut identity = String::new();
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let admit = |request: &Request, response: Response| {
            identity = subject(request.uri().query().unwrap_or_default());
            if let Some(places) = &self.places {
                let mut places = places.lock().expect("no panics");
                if *places == 0 {
                    let body = r#"{"code":"rate_limited","message":"full"}"#.to_owned();
                    let mut refusal = ErrorResponse::new(Some(body));
                    *refusal.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                    return Err(refusal);
                }
                *places -= 1;
            }
            Ok(response)
        };
        let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, admit).await else {
            return;
        };
        let (mut sink, mut stream) = socket.split();
        let (queue, mut queued) = mpsc::channel::<Utf8Bytes>(64);
        let full = Arc::new(Notify::new());
        let outbox = Outbox {
            queue,
            full: Arc::clone(&full),
        };
        self.people
            .lock()
            .expect("no panics")
            .insert(identity, outbox.clone());
        let writer = tokio::spawn(async move {
            while let Some(text) = queued.recv().await {
                if sink.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
        });
        let reader = async {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Text(text) = message
                    && let Ok(call) = serde_json::from_str::<Value>(&text)
                {
                    self.call(&call, peer, &outbox);
                }
            }
        };
        tokio::select! {
            () = full.notified() => {}
            () = reader => {}
        }
        writer.abort();
        for room in self.rooms.lock().expect("no panics").values_mut() {
            room.remove(&peer);
        }
    }

    fn call(&self, call: &Value, peer: SocketAddr, outbox: &Outbox) {
        let params = &call["params"];
        let named = |member: &str| params[member].as_str().unwrap_or_default().to_owned();
        let push =
            || json!({"jsonrpc": "2.0", "method": call["method"], "params": params}).to_string();
        match call["method"].as_str() {
            Some("signal.join") => {
                let mut rooms = self.rooms.lock().expect("no panics");
                rooms
                    .entry(named("id"))
                    .or_default()
                    .insert(peer, outbox.clone());
            }
            Some("signal.publish") => {
                let text = Utf8Bytes::from(push());
                let rooms = self.rooms.lock().expect("no panics");
                for member in rooms
                    .get(&named("id"))
                    .into_iter()
                    .flat_map(HashMap::values)
                {
                    member.put(text.clone());
                }
            }
            Some("signal.send") => {
                let people = self.people.lock().expect("no panics");
                if let Some(person) = people.get(&named("to")) {
                    person.put(push().into());
                }
            }
            _ => {}
        }
        if !call["id"].is_null() {
            let answer = json!({"jsonrpc": "2.0", "id": call["id"], "result": {}}).to_string();
            outbox.put(answer.into());
        }
    }
}

/// The identity in `jwt=…`, unverified.
fn subject(query: &str) -> String {
    let token = query.strip_prefix("jwt=").expect("a token in the query");
    let token = UnverifiedToken::parse(token).expect("a well-formed token");
    token.subject().expect("a subject").identity.to_string()
}

fn command(base: &str, line: &str) -> Command {
    let secret = "x".repeat(43);
    let id = "0123456789abcdef0123456789abcdef";
    let target = ["--base", base, "--key-id", id, "--key-secret", &secret];
    let words = line.split(' ');
    Args::try_parse_from(["load"].into_iter().chain(words).chain(target))
        .expect("well formed")
        .command
}

fn json_of(report: &impl serde::Serialize) -> Value {
    serde_json::to_value(report).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_delivers_everything_and_tells_how_fast() {
    let base = Hub::default().start();
    let line = "fanout --channels 2 --subscribers 5 --rate 200 --seconds 1 --warmup 0";
    let Command::Fanout(args) = command(&base, line) else {
        panic!("another command")
    };
    let report = json_of(
        &scenario::fanout::run(args, Stop::never())
            .await
            .expect("a report"),
    );
    assert_eq!(report["parameters"]["publishers"], 5);
    assert_eq!(report["connect"]["opened"], 15);
    let traffic = &report["traffic"];
    assert_eq!(traffic["sent"], 200);
    assert_eq!(traffic["deliveries_expected"], 1000);
    assert_eq!(traffic["deliveries_received"], 1000);
    assert_eq!(traffic["latency_ms"]["count"], 1000);
    assert!(traffic["latency_ms"]["max"].as_f64().expect("a number") > 0.0);
    assert!(
        report["connections_lost"]
            .as_object()
            .expect("an object")
            .is_empty()
    );
    assert!(report["server"]["cpu_us_per_delivery"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_messages_reach_their_one_receiver() {
    let base = Hub::default().start();
    let line = "direct --rate 100 --seconds 1 --warmup 1 --pairs 4";
    let Command::Direct(args) = command(&base, line) else {
        panic!("another command")
    };
    let report = json_of(
        &scenario::direct::run(args, Stop::never())
            .await
            .expect("a report"),
    );
    let traffic = &report["traffic"];
    assert_eq!(
        (&traffic["sent"], &traffic["deliveries_received"]),
        (&json!(200), &json!(200))
    );
    assert_eq!(traffic["latency_ms"]["count"], 100);
    assert_eq!(traffic["deliveries_lost"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_refused_are_counted_by_reason() {
    let hub = Hub {
        places: Some(Arc::new(Mutex::new(7))),
        ..Hub::default()
    };
    let Command::Idle(args) = command(&hub.start(), "idle --connections 10 --seconds 1") else {
        panic!("another command")
    };
    let report = json_of(
        &scenario::idle::run(args, Stop::never())
            .await
            .expect("a report"),
    );
    let connect = &report["connect"];
    assert_eq!(
        (&connect["opened"], &connect["failed"]),
        (&json!(7), &json!(3))
    );
    assert_eq!(connect["failures"], json!({"refused 429 rate_limited": 3}));
    assert!(report["server"]["memory"]["bytes_per_connection"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_stop_reading_are_seen_being_closed_and_the_others_lose_nothing() {
    let base = Hub::default().start();
    let line = "stall --subscribers 4 --stalled 2 --rate 200 --payload 20000 --seconds 3 --warmup 0 \
                --stall-after 1";
    let Command::Stall(args) = command(&base, line) else {
        panic!("another command")
    };
    let report = json_of(
        &scenario::stall::run(args, Stop::never())
            .await
            .expect("a report"),
    );
    let stall = &report["stall"];
    assert_eq!(stall["stopped_reading"], 2);
    assert_eq!(stall["closed_by_server"], 2, "{report:#}");
    assert!(stall["first_closed_after"].as_f64().expect("a number") < 2.0);
    assert_eq!(stall["latency_before_ms"]["count"], 4 * 200);
    assert_eq!(stall["latency_after_ms"]["count"], 4 * 400);
    assert_eq!(report["traffic"]["deliveries_lost"], 0);
    assert_eq!(stall["ends"], json!({"cut off": 2}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bare_handler_answers_with_the_size_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!(
        "http://{}/token",
        listener.local_addr().expect("an address")
    );
    tokio::spawn(http::bare::serve(listener, http::bare::app(400)));
    let line = ["load", "token", "--url", &url, "-c", "2", "-s", "1"];
    let args = Args::try_parse_from(line).expect("well formed");
    let Command::Token(args) = args.command else {
        panic!("another command")
    };
    let report = json_of(
        &http::token::run(args, Stop::never())
            .await
            .expect("a report"),
    );
    assert_eq!(report["body_bytes"], 400);
    assert!(report["requests"].as_u64().expect("a number") > 10);
    assert_eq!(report["failures"], json!({}));
}

#[tokio::test]
async fn another_machine_is_not_loaded() {
    let Command::Idle(args) = command("http://192.0.2.1:8000", "idle") else {
        panic!("another command")
    };
    let error = scenario::idle::run(args, Stop::never())
        .await
        .expect_err("refused");
    assert!(format!("{error:#}").contains("loopback"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_are_held_until_the_server_closes_them_and_health_is_asked_meanwhile() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 512];
                let read = stream.read(&mut head).await.unwrap_or(0);
                if peer.ip() != IpAddr::from([127, 0, 0, 4]) {
                    // Long enough for some questions from the other address.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                } else if head[..read].starts_with(b"GET /healthz ") {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.expect("written");
                }
            });
        }
    });
    let url = format!("http://{address}");
    let line = "silent --kind letter --kind head --sources 2 --per-source 5 --url";
    let line = [vec!["load"], line.split(' ').collect(), vec![&url]].concat();
    let args = Args::try_parse_from(line).expect("well formed");
    let Command::Silent(args) = args.command else {
        panic!("another command")
    };
    let report = scenario::silent::run(args, Stop::never()).await;
    let report = json_of(&report.expect("a report"));
    let kinds = report["kinds"].as_array().expect("an array");
    assert_eq!(kinds.len(), 2);
    for kind in kinds {
        assert_eq!(
            (&kind["sockets"], &kind["fell_silent"]),
            (&json!(10), &json!(10))
        );
        assert_eq!(
            (&kind["closed_before"], &kind["left_open"]),
            (&json!(0), &json!(0))
        );
        assert!(kind["longest_seconds"].as_f64().expect("a number") >= 0.3);
        assert!(kind["healthz"]["asked"].as_u64().expect("a number") > 1);
        assert_eq!(kind["healthz"]["failed"], 0, "{report:#}");
    }
}
