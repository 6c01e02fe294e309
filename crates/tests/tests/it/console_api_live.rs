//! Who is connected, as the Console's API tells and shows it.

use std::time::Duration;

use hexline_tests::{OWNER_EMAIL, OWNER_PASSWORD, TestOperator, TestServer, refusal, within};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn live_connections_are_listed_searched_and_closed() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let path = format!("/apps/{}/connections", app.id());
    let mut alice = app.connect("alice/web").await;
    let mut phone = app.connect("alice/phone").await;
    let mut bob = app.connect("bob/web").await;
    alice.call("signal.join", json!({"id": "room"})).await;

    let all = owner.get(&path).await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3));
    let found = owner.get(&format!("{path}?search=ALICE/w")).await;
    let [one] = &found["items"].as_array().expect("a list")[..] else {
        panic!("{found}")
    };
    assert_eq!(
        (&one["identity"], &one["device"]),
        (&json!("alice"), &json!("web"))
    );
    assert_eq!(one["remote"], "127.0.0.1");
    assert_eq!(one["key"], app.key_id());
    assert_eq!(one["grants"], json!({"signal": true}));
    assert_eq!(one["channels"], 1);
    assert_eq!(one["messages_in"], 1);
    assert!(one["expires_ms"].is_i64() && one["bytes_in"].as_u64() > Some(10));
    assert_eq!(one["node"], owner.get("/session").await["node"]);

    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = owner.get(&format!("{path}?limit=2{cursor}")).await;
        seen += page["items"].as_array().expect("a list").len();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 3);

    let close = format!("{path}/disconnect");
    let done = owner.post(&close, &json!({"route": one["route"]})).await;
    assert_eq!(done, json!({"disconnected": 1, "held_until_ms": null}));
    assert_eq!(alice.closed().await, 4503);
    let device = json!({"identity": "alice", "device": "phone"});
    assert_eq!(owner.post(&close, &device).await["disconnected"], 1);
    assert_eq!(phone.closed().await, 4503);
    let nobody = json!({"identity": "carol"});
    assert_eq!(owner.post(&close, &nobody).await["disconnected"], 0);
    for bad in [json!({}), json!({"device": "web"}), json!({"route": "x"})] {
        let refused = owner.refused(Method::POST, &close, &bad).await;
        assert_eq!(refused, refusal(400, "invalid_request"), "{bad}");
    }
    bob.call("signal.join", json!({"id": "room"})).await;
    // The token stays good.
    app.connect("alice/web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_another_app_is_not_reached() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let (app, other) = (server.app("shop").await, server.app("other").await);
    let mut bob = other.connect("bob/web").await;
    let list = owner
        .get(&format!("/apps/{}/connections", other.id()))
        .await;
    let route = list["items"][0]["route"].clone();
    let close = format!("/apps/{}/connections/disconnect", app.id());
    for target in [json!({"route": route}), json!({"identity": "bob"})] {
        assert_eq!(owner.post(&close, &target).await["disconnected"], 0);
    }
    bob.call("signal.join", json!({"id": "room"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_shows_who_comes_and_goes_and_ends_with_the_session() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let mut own = Events::of(&owner, &format!("/apps/{}/live", app.id())).await;
    let mut all = Events::of(&owner, "/live").await;
    for events in [&mut own, &mut all] {
        assert_eq!(events.stats().await["connections"], 0, "at once");
    }
    let mut alice = app.connect("alice/web").await;
    alice.call("signal.join", json!({"id": "room"})).await;
    for events in [&mut own, &mut all] {
        let seen = async {
            assert_eq!(events.changed().await["connections"], 1);
            let stats = events.stats().await;
            assert_eq!(stats["connections"], 1);
            assert!(stats["at_ms"].is_i64());
            while events.stats().await["messages_in"] != 1 {}
        };
        server.advance_until(TICK, seen).await;
    }
    alice.close().await;
    for events in [&mut own, &mut all] {
        let seen = async { assert_eq!(events.changed().await["connections"], 0) };
        server.advance_until(TICK, seen).await;
    }
    owner.delete("/session").await;
    for mut events in [own, all] {
        let end = async { while events.next().await.is_some() {} };
        server.advance_until(TICK, end).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_adds_up_only_what_the_operator_sees() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let (own, other) = (server.app("own").await, server.app("other").await);
    let id = own.id();
    let viewer = owner
        .invited(&server, "vic@example.org", "viewer", Some(&[&id]))
        .await;
    let _a = own.connect("a/1").await;
    let _b = other.connect("b/1").await;
    let mut events = Events::of(&viewer, "/live").await;
    assert_eq!(events.stats().await["connections"], 1);
    let refused = viewer
        .get_refused(&format!("/apps/{}/live", other.id()))
        .await;
    assert_eq!(refused, refusal(404, "not_found"));
    // Who loses the app sees no more of it.
    let mut one = Events::of(&viewer, &format!("/apps/{id}/live")).await;
    one.stats().await;
    let operators = owner.get("/operators").await;
    let vic = operators["items"].as_array().expect("a list").iter();
    let vic = vic.clone().find(|o| o["role"] == "viewer").expect("vic");
    let path = format!("/operators/{}", vic["id"].as_str().expect("an id"));
    owner.patch(&path, &json!({"apps": [other.id()]})).await;
    let end = async { while one.next().await.is_some() {} };
    server.advance_until(TICK, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_does_not_wait_for_those_who_watch() {
    let mut server = TestServer::start_with(|config| {
        config.drain = std::time::Duration::from_hours(1);
    })
    .await;
    let owner = server.operator().await;
    let mut events = Events::of(&owner, "/live").await;
    events.stats().await;
    server.stop().await;
    while events.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_of_the_node_database_bus_disk_and_clock() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let _a = app.connect("a/1").await;
    let health = owner.get("/health").await;
    for part in ["database", "bus", "clock"] {
        assert_eq!(health[part]["ok"], true, "{health}");
    }
    assert_eq!(health["database"]["kind"], "sqlite");
    assert_eq!(health["database"]["durable"], true);
    assert_eq!(health["connections"], 1);
    assert!(health["disk"]["free_bytes"].is_u64() && health["disk"]["database_bytes"].is_u64());
    let id = app.id();
    let viewer = owner
        .invited(&server, "vic@example.org", "viewer", Some(&[&id]))
        .await;
    assert!(viewer.get("/health").await["connections"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_follows_eight_streams_and_no_more() {
    let server = TestServer::start().await;
    let owner = server.operator().await;
    let app = server.app("shop").await;
    let of_app = format!("/apps/{}/live", app.id());
    let mut streams = Vec::new();
    for n in 0..8 {
        let path = if n % 2 == 0 { "/live" } else { &of_app };
        streams.push(Events::of(&owner, path).await);
    }
    for path in ["/live", &of_app] {
        let refused = owner.get_refused(path).await;
        assert_eq!(refused, refusal(429, "rate_limited"));
    }
    // Another session of the same operator has its own.
    let other = TestOperator::sign_in(&server, OWNER_EMAIL, OWNER_PASSWORD).await;
    Events::of(&other, "/live").await.stats().await;
    // One that ends makes room.
    streams.pop();
    server
        .advance_until(TICK, async {
            let status = async || {
                let request = owner.request(Method::GET, "/live").send().await;
                request.expect("an answer").status().as_u16()
            };
            while status().await == 429 {}
        })
        .await;
}

const TICK: Duration = Duration::from_secs(1);

/// A stream of Server-Sent Events.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn of(operator: &TestOperator, path: &str) -> Self {
        let response = operator.request(Method::GET, path).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = String::new();
        Self { response, text }
    }

    /// The next event, its name and its data; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let event = std::mem::replace(&mut self.text, rest);
                let (name, data) = event.trim_end().split_once('\n').expect("two lines");
                let name = name.strip_prefix("event: ").expect("a name").to_owned();
                let data = data.strip_prefix("data: ").expect("data");
                return Some((name, serde_json::from_str(data).expect("JSON")));
            }
            let chunk = within("an event", self.response.chunk()).await.ok()??;
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    async fn of_kind(&mut self, kind: &str) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the stream goes on");
            if name == kind {
                return data;
            }
        }
    }

    async fn stats(&mut self) -> Value {
        self.of_kind("stats").await
    }

    async fn changed(&mut self) -> Value {
        self.of_kind("connections").await
    }
}
