//! Webhooks: which events there are, who may see and change them, and what is refused.

use std::time::Duration;

use hexline_server::config::Config;
use hexline_tests::{TestApp, TestServer, WebhookReceiver, refusal, within};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_comes_with_the_first_device_and_goes_with_the_last() {
    let (server, app, mut receiver) = ready(&["*"]).await;
    let one = app.connect("alice/one").await;
    let two = app.connect("alice/two").await;
    drop(one);
    let mut told = events(&mut receiver, &app, 4).await;
    drop(two);
    told.extend(events(&mut receiver, &app, 2).await);
    let told: Vec<_> = told
        .iter()
        .map(|e| (e["type"].clone(), e["data"].clone()))
        .collect();
    let kinds: Vec<_> = told
        .iter()
        .map(|(kind, _)| kind.as_str().expect("text"))
        .collect();
    assert_eq!(
        kinds,
        [
            "user.connected",
            "user.online",
            "user.connected",
            "user.disconnected",
            "user.disconnected",
            "user.offline",
        ]
    );
    assert_eq!(told[0].1["first_device"], true);
    assert_eq!(told[2].1["first_device"], false);
    assert_eq!(told[3].1["last_device"], false);
    assert_eq!(told[4].1["last_device"], true);
    assert_eq!(told[4].1["device"], "two");
    assert_eq!(told[1].1, json!({"identity": "alice"}));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_occupied_by_its_first_member_and_vacated_by_its_last() {
    let (_server, app, mut receiver) = ready(&["channel.occupied", "channel.vacated"]).await;
    let mut alice = app.connect("alice/web").await;
    let mut bob = app.connect("bob/web").await;
    alice.call("signal.join", json!({"id": "news"})).await;
    bob.call("signal.join", json!({"id": "news"})).await;
    alice.call("signal.leave", json!({"id": "news"})).await;
    drop(bob);
    let told = events(&mut receiver, &app, 2).await;
    assert_eq!(told[0]["type"], "channel.occupied");
    assert_eq!(told[1]["type"], "channel.vacated");
    assert_eq!(told[1]["data"], json!({"channel": "news"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_the_app_tell_what_becomes_of_them() {
    let (_server, app, mut receiver) = ready(&[
        "key.created",
        "key.rotated",
        "key.revoked",
        "app.disabled",
        "app.enabled",
        "app.updated",
    ])
    .await;
    let key = app.another_key(None).await;
    let created = events(&mut receiver, &app, 1).await;
    assert_eq!(created[0]["type"], "key.created");
    assert_eq!(created[0]["data"]["key"], key.key_id());
    key.revoke_key().await;
    assert_eq!(
        events(&mut receiver, &app, 1).await[0]["type"],
        "key.revoked"
    );
    app.set(|settings| settings.exp_required = false).await;
    assert_eq!(
        events(&mut receiver, &app, 1).await[0]["type"],
        "app.updated"
    );
    app.disable().await;
    assert_eq!(
        events(&mut receiver, &app, 1).await[0]["type"],
        "app.disabled"
    );
    app.enable().await;
    assert_eq!(
        events(&mut receiver, &app, 1).await[0]["type"],
        "app.enabled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_of_refused_tokens_a_few_are_told_and_the_rest_is_counted() {
    let (server, app, mut receiver) = ready(&["token.refused", "key.created"]).await;
    let bad = app.token_with_another_secret("alice/web");
    for _ in 0..100 {
        assert_eq!(app.refused(&bad).await, refusal(401, "signature_invalid"));
    }
    // Whatever was refused before is queued before.
    app.another_key(None).await;
    loop {
        let event = json(&receiver.accepted().await.body);
        if event["type"] == "key.created" {
            break;
        }
        assert_eq!(event["type"], "token.refused");
        assert_eq!(event["data"]["reason"], "signature_invalid");
        assert_eq!(event["data"]["key"], app.key_id());
    }
    let platform = Platform::of(&server, &app);
    let hooks = platform.get("/webhooks").await;
    let id = hooks["items"][0]["id"].as_str().expect("an id").to_owned();
    let log = platform
        .get(&format!("/webhooks/{id}/deliveries?limit=200"))
        .await;
    let log = log["items"].as_array().expect("a list");
    let refused = log.iter().filter(|one| one["type"] == "token.refused");
    assert!(refused.count() < 60, "the most are not told one by one");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_app_sees_nothing_of_it() {
    let (server, app, mut receiver) = ready(&["*"]).await;
    let other = server.app("two").await;
    let own = Platform::of(&server, &app);
    let stranger = Platform::of(&server, &other);
    let id = own.get("/webhooks").await["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    own.post(&format!("/webhooks/{id}/test"), &Value::Null)
        .await;
    let tried = server.advance_until(LOOK, receiver.accepted()).await;
    let event = json(&tried.body);
    assert_eq!(
        (&event["type"], &event["app"]),
        (&json!("webhook.test"), &json!(app.id()))
    );
    let log = own.get(&format!("/webhooks/{id}/deliveries")).await;
    let delivery = log["items"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(stranger.get("/webhooks").await["items"], json!([]));
    for (method, path) in [
        (Method::GET, format!("/webhooks/{id}")),
        (Method::DELETE, format!("/webhooks/{id}")),
        (Method::POST, format!("/webhooks/{id}/test")),
        (Method::GET, format!("/webhooks/{id}/deliveries")),
        (Method::GET, format!("/webhook-deliveries/{delivery}")),
        (
            Method::POST,
            format!("/webhook-deliveries/{delivery}/redeliver"),
        ),
    ] {
        assert_eq!(
            stranger.refused(method, &path).await,
            refusal(404, "not_found"),
            "{path}"
        );
    }
    // What happens there is not told here.
    other.connect("eve/web").await;
    app.connect("alice/web").await;
    let event = json(&receiver.accepted().await.body);
    assert_eq!(event["data"]["identity"], "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_makes_tries_and_reads_and_a_viewer_only_reads() {
    let server = TestServer::start_with(open).await;
    let app = server.app("one").await;
    let mut receiver = WebhookReceiver::answering(200).await;
    let owner = server.operator().await;
    let path = format!("/apps/{}/webhooks", app.id());
    let order = json!({"url": receiver.url(), "events": ["user.online"], "label": "mine"});
    let made = owner.post(&path, &order).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    let tried = owner.post(&format!("{path}/{id}/test"), &Value::Null).await;
    let delivered = server.advance_until(LOOK, receiver.accepted()).await;
    let delivered = delivered.check(&app);
    assert_eq!(tried["event"], delivered.event.id);
    assert_eq!(delivered.audience, receiver.url());
    let detail = format!(
        "/apps/{}/deliveries/{}",
        app.id(),
        tried["id"].as_str().expect("an id")
    );
    let shown = within("the outcome", async {
        loop {
            let shown = owner.get(&detail).await;
            if shown["state"] == "delivered" {
                return shown;
            }
        }
    })
    .await;
    assert_eq!(shown["log"][0]["status"], 200);
    assert_eq!(shown["log"][0]["answer"], "fine.");
    assert_eq!(shown["request"]["body"]["type"], "webhook.test");
    let again = owner
        .post(&format!("{detail}/redeliver"), &Value::Null)
        .await;
    assert_eq!(again["repeats"], tried["id"]);
    let repeated = server.advance_until(LOOK, receiver.accepted()).await;
    let repeated = repeated.check(&app);
    assert_eq!(repeated.event.id, delivered.event.id);
    assert_ne!(repeated.token_id, delivered.token_id);
    let viewer = owner
        .invited(&server, "vera@example.org", "viewer", None)
        .await;
    assert_eq!(viewer.get(&path).await["items"][0]["label"], "mine");
    let forbidden = refusal(403, "forbidden");
    assert_eq!(viewer.refused(Method::POST, &path, &order).await, forbidden);
    let one = format!("{path}/{id}");
    assert_eq!(
        viewer
            .refused(Method::PATCH, &one, &json!({"label": "x"}))
            .await,
        forbidden
    );
    let other = server.app("two").await;
    let elsewhere = owner
        .invited(&server, "al@example.org", "admin", Some(&[&other.id()]))
        .await;
    assert_eq!(
        elsewhere.get_refused(&path).await,
        refusal(404, "not_found")
    );
    owner.patch(&one, &json!({"enabled": false})).await;
    owner.delete(&one).await;
    assert_eq!(owner.get(&path).await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_cannot_be_is_refused() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let platform = Platform::of(&server, &app);
    for order in [
        json!({"url": "http://example.com/hook", "events": ["*"]}),
        json!({"url": "https://user:pw@example.com/", "events": ["*"]}),
        json!({"url": "file:///etc/passwd", "events": ["*"]}),
        json!({"url": "https://example.com/", "events": []}),
        json!({"url": "https://example.com/", "events": ["user.exploded"]}),
        json!({"url": "https://example.com/", "events": ["*"], "label": "a\u{0}"}),
        json!({"url": "https://example.com/", "events": ["*"], "secret": "x"}),
    ] {
        let refused = platform.try_post("/webhooks", &order).await;
        assert_eq!(refused, refusal(400, "invalid_request"), "{order}");
    }
    let order = json!({"url": "https://example.com/", "events": ["*"]});
    for _ in 0..16 {
        platform.post("/webhooks", &order).await;
    }
    assert_eq!(
        platform.try_post("/webhooks", &order).await,
        refusal(409, "conflict")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_there_is_not_is_named_with_those_that_there_are() {
    let server = TestServer::start().await;
    let operator = server.operator().await;
    let app = server.app("one").await;
    let order = json!({"url": "https://example.com/", "events": ["user.online", "user.exploded"]});
    let console = format!("/apps/{}/webhooks", app.app_id());
    for request in [
        operator.request(Method::POST, &console).json(&order),
        app.platform().post("/webhooks", &order),
    ] {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 400);
        let refused: Value = response.json().await.expect("JSON");
        let told = refused["message"].as_str().expect("text");
        assert!(told.contains("\"user.exploded\""), "{told}");
        assert!(told.contains("user.online, user.offline"), "{told}");
    }
}

/// A server that may send to this machine, and an app with a webhook there.
pub(crate) async fn ready(events: &[&str]) -> (TestServer, TestApp, WebhookReceiver) {
    let server = TestServer::start_with(open).await;
    let app = server.app("one").await;
    let receiver = WebhookReceiver::answering(200).await;
    add(&server, &app, &receiver.url(), events).await;
    (server, app, receiver)
}

/// Adds a webhook; its id.
pub(crate) async fn add(server: &TestServer, app: &TestApp, url: &str, events: &[&str]) -> String {
    let order = json!({"url": url, "events": events});
    let made = Platform::of(server, app).post("/webhooks", &order).await;
    made["id"].as_str().expect("an id").to_owned()
}

/// May send to this machine, where an answer may take as long as it likes: a test lets the time
/// between two attempts pass faster than this machine may be at work.
pub(crate) fn open(config: &mut Config) {
    config.webhooks.allow_private = true;
    config.webhooks.answer_timeout = Duration::from_hours(1);
}

/// How often a server looks for what was queued past its writer: trials and repetitions.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// The next events, each of them checked.
pub(crate) async fn events(
    receiver: &mut WebhookReceiver,
    app: &TestApp,
    count: usize,
) -> Vec<Value> {
    let mut events = Vec::new();
    for _ in 0..count {
        let received = receiver.accepted().await;
        received.check(app);
        events.push(json(&received.body));
    }
    events
}

pub(crate) fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

/// An app's server at the platform API.
pub(crate) struct Platform {
    base: String,
    token: String,
}

impl Platform {
    pub(crate) fn of(server: &TestServer, app: &TestApp) -> Self {
        Self {
            base: server.url("/platform/v1"),
            token: app.at(server).platform_token(),
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = hexline_tests::client().request(method, format!("{}{path}", self.base));
        request.bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        answer(path, self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.request(Method::POST, path);
        answer(
            path,
            if body.is_null() {
                request
            } else {
                request.json(body)
            },
        )
        .await
    }

    pub(crate) async fn refused(&self, method: Method, path: &str) -> hexline_tests::Refusal {
        hexline_tests::refusal_of(self.request(method, path)).await
    }

    async fn try_post(&self, path: &str, body: &Value) -> hexline_tests::Refusal {
        hexline_tests::refusal_of(self.request(Method::POST, path).json(body)).await
    }
}

async fn answer(path: &str, request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.expect("the server answers");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
