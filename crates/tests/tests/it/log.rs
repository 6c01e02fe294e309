//! What the log answers when somebody asks why.

use std::collections::HashSet;

use hexline_tests::{
    Program, Socket, TestServer, WebhookReceiver, claims, client, upgrade, within,
};
use serde_json::{Value, json};

use crate::nodes::proxied_database;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_and_a_trusted_proxys_is_kept() {
    let server = TestServer::start().await;
    let app = server.app("one").await;
    let mut seen = HashSet::new();
    for request in [
        client().get(server.url("/healthz")),
        client().get(server.url("/nowhere")),
        client().delete(server.url("/healthz")),
        client().get(server.url("/client/v1/me")),
        client().get(server.url("/console/")),
        client().get(server.url("/client/signal/v1/pubsub")),
        app.upgrade("nonsense"),
        app.upgrade(&app.token("bob/web")),
        client()
            .get(server.url("/healthz"))
            .header("x-request-id", "of-the-client"),
    ] {
        let id = id_of(request).await;
        assert!(
            id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
        assert!(seen.insert(id), "no two are the same");
    }

    let behind_a_proxy = TestServer::start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let given = |id: &str| {
        let request = client().get(behind_a_proxy.url("/healthz"));
        id_of(request.header("x-request-id", id))
    };
    let longest = "x".repeat(64);
    for id in ["a", "Trace_1.2-3", &longest] {
        assert_eq!(given(id).await, id);
    }
    for bad in ["", "a b", "a/b", "a\"b", &"x".repeat(65)] {
        assert_ne!(given(bad).await, bad);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upgrade_is_a_line_with_app_key_reason_and_the_id_of_its_answer() {
    let served = Served::start("info", "").await;
    let key = served.ready["key_id"].as_str().expect("an id");
    let stranger = "0123456789abcdef0123456789abcdef";
    for (issuer, reason, known) in [
        (key, "signature_invalid", true),
        (stranger, "key_unknown", false),
    ] {
        let token = served.token_of(issuer);
        let url = served.url(&format!("/client/signal/v1/pubsub?jwt={token}"));
        let id = id_of(upgrade(&url)).await;
        let line = served
            .line("upgrade refused", |line| line["request.id"] == id)
            .await;
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!(line["peer"], "127.0.0.0/24", "{line}");
        assert_eq!(line["key.id"] == key, known, "{line}");
        assert_eq!(line["app.id"].is_string(), known, "{line}");
    }
    let url = served.url("/client/signal/v1/pubsub");
    let id = id_of(upgrade(&url)).await;
    let line = served
        .line("upgrade refused", |line| line["request.id"] == id)
        .await;
    assert_eq!(line["reason"], "token_malformed", "{line}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_refusals_of_one_kind_ten_lines_a_second_are_written_and_the_rest_counted() {
    let served = Served::start("info", "").await;
    let url = served.url("/client/signal/v1/pubsub");
    let http = client();
    for _ in 0..100 {
        let request = http.get(&url).header("connection", "close");
        assert_eq!(request.send().await.expect("an answer").status(), 401);
    }
    let told = || {
        let lines = served.lines();
        let refused = |line: &&Value| line["message"] == "upgrade refused";
        let written = lines.iter().filter(refused).count();
        let counts = lines.iter().filter_map(|line| line["withheld"].as_u64());
        (written, counts.sum::<u64>())
    };
    let all = async {
        while told().0 as u64 + told().1 < 100 {
            tokio::task::yield_now().await;
        }
    };
    within("the count", all).await;
    let (written, counted) = told();
    assert!(
        counted > 0 && written as u64 + counted == 100,
        "{written} {counted}"
    );
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_failed_sign_in_is_a_line_that_names_nobody() {
    let served = Served::start("info", "").await;
    let request = client()
        .post(served.url("/console/api/session"))
        .header("x-hexline-console", "1")
        .json(&json!({"email": "adam-7f@example.org", "password": "wrong-7f-wrong-7f"}));
    let id = id_of(request).await;
    let line = served
        .line("operator sign-in refused", |line| line["request.id"] == id)
        .await;
    assert_eq!(line["reason"], "sign_in_failed", "{line}");
    assert_eq!(line["level"], "WARN", "{line}");
    let log = served.stop().await;
    assert!(!log.contains("-7f"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_confirmation_of_an_operators_session_is_a_line_that_names_nobody() {
    let served = Served::start("info", "").await;
    let post = |path: &str, body: &Value| {
        let request = client().post(served.url(&format!("/console/api{path}")));
        request.header("x-hexline-console", "1").json(body)
    };
    let link = served.ready["console_setup_url"].as_str().expect("a link");
    let (_, token) = link.split_once('#').expect("the token is the fragment");
    let owner = json!({
        "token": token, "email": "adam-7f@example.org", "name": "Adam-7f",
        "password": "right-7f-right-7f",
    });
    let begun = post("/setup", &owner).send().await.expect("an answer");
    let cookie = begun.headers()["set-cookie"].clone();
    let wrong = json!({"password": "wrong-7f-wrong-7f"});
    // Ten are compared; then there is a wait.
    for refusal in 1..=11 {
        let confirm = post("/session/confirm", &wrong).header("cookie", &cookie);
        let id = id_of(confirm).await;
        let line = served
            .line("operator confirmation refused", |line| {
                line["request.id"] == id
            })
            .await;
        let reason = ["forbidden", "rate_limited"][usize::from(refusal > 10)];
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!(line["level"], "WARN", "{line}");
    }
    let log = served.stop().await;
    assert!(!log.contains("-7f"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closes_is_a_line_and_every_end_is_one_at_debug() {
    let served = Served::start("info,hexline_gateway=debug", "").await;
    let key = served.ready["key_id"].as_str().expect("an id").to_owned();
    let mut closed = served.connect("alice").await;
    closed
        .message(tokio_tungstenite::tungstenite::Message::binary(vec![1]))
        .await;
    assert_eq!(closed.closed().await, 1003);
    served.connect("bob").await.close().await;

    let line = served
        .line("connection ended", |line| line["code"] == 1003)
        .await;
    assert_eq!(line["level"], "INFO", "{line}");
    assert_eq!(line["key.id"], key, "{line}");
    assert!(
        line["app.id"].is_string() && line["duration_ms"].is_u64(),
        "{line}"
    );
    let plain = |line: &Value| line["code"] == 1000 || line["code"] == 1005;
    let line = served.line("connection ended", plain).await;
    assert_eq!(line["level"], "DEBUG", "{line}");
    let line = served.line("connection opened", |_| true).await;
    assert!(line["request.id"].is_string(), "{line}");
    let log = served.stop().await;
    assert!(!log.contains("alice") && !log.contains("bob"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_webhook_attempt_is_a_line_without_its_url() {
    let receiver = WebhookReceiver::answering(500).await;
    let served = Served::start("info", "").await;
    let token = served.platform_token();
    let made = client()
        .post(served.url("/platform/v1/webhooks"))
        .bearer_auth(&token)
        .json(&json!({"url": receiver.url(), "events": ["user.connected"]}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(made.status(), 201);
    let _alice = served.connect("alice").await;
    let line = served.line("webhook attempt failed", |_| true).await;
    assert_eq!(line["reason"], "http_status", "{line}");
    assert_eq!(line["http.status"], 500, "{line}");
    assert_eq!(line["attempt"], 1, "{line}");
    assert!(
        line["webhook.id"].is_string() && line["app.id"].is_string(),
        "{line}"
    );
    let log = served.stop().await;
    assert!(
        !log.contains(&receiver.url()) && !log.contains("alice"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_server_cannot_answer_is_a_line_with_the_id_of_its_answer() {
    let (mut proxy, database) = proxied_database().await;
    let key = tempfile::tempdir().expect("a directory");
    let key = key.path().join("master.key");
    let more = [
        "--database",
        &database,
        "--master-key-file",
        &key.display().to_string(),
    ];
    let served = Served::start_with("info", "", &more).await;
    proxy.cut().await;
    let request = client()
        .post(served.url("/platform/v1/keys"))
        .bearer_auth(served.platform_token())
        .json(&json!({"label": "label-7f"}));
    let id = id_of(request).await;
    let line = served
        .line("request failed", |line| line["request.id"] == id)
        .await;
    assert_eq!(line["http.status"], 503, "{line}");
    proxy.mend();
    let log = served.stop().await;
    assert!(!log.contains("-7f"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_is_an_option_and_has_routes_and_no_paths() {
    let served = Served::start("info", "").await;
    id_of(client().get(served.url("/healthz"))).await;
    let log = served.stop().await;
    assert!(!log.contains("/healthz"), "{log}");

    let served = Served::start("info", "access = true\npeer = \"full\"\n").await;
    let user = served.url("/platform/v1/users/identity-7f/presence?x=query-7f");
    let odd = reqwest::Method::from_bytes(b"METHOD-7F").expect("a method");
    for (request, method, route, status) in [
        (
            client().get(served.url("/healthz")),
            "GET",
            json!("/healthz"),
            200,
        ),
        (
            client().get(served.url("/path-7f")),
            "GET",
            Value::Null,
            404,
        ),
        (
            client().request(odd, served.url("/healthz")),
            "other",
            json!("/healthz"),
            405,
        ),
        (
            client().get(user),
            "GET",
            json!("/platform/v1/users/{identity}/presence"),
            401,
        ),
        (
            upgrade(&served.url("/client/signal/pubsub?jwt=token-7f")),
            "GET",
            json!("/client/signal/pubsub"),
            401,
        ),
    ] {
        let id = id_of(request).await;
        let line = served
            .line("answered", |line| line["request.id"] == id)
            .await;
        assert_eq!(line["http.method"], method, "{line}");
        assert_eq!(line["http.route"], route, "{line}");
        assert_eq!(line["http.status"], status, "{line}");
        assert_eq!(line["peer"], "127.0.0.1", "{line}");
        assert!(line["duration_ms"].is_f64(), "{line}");
    }
    let log = served.stop().await;
    assert!(!log.to_ascii_lowercase().contains("-7f"), "{log}");
}

/// A `--dev` server that logs JSON.
struct Served {
    program: Program,
    ready: Value,
    _data: tempfile::TempDir,
}

impl Served {
    async fn start(level: &str, more: &str) -> Self {
        Self::start_with(level, more, &[]).await
    }

    async fn start_with(level: &str, more: &str, arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let config = data.path().join("log.toml");
        let text = format!("[log]\nlevel = \"{level}\"\nformat = \"json\"\n{more}");
        std::fs::write(&config, text).expect("the directory takes a file");
        let config = config.to_str().expect("a path in UTF-8");
        let (program, ready) =
            Program::serve_dev(data.path(), &[&["--config", config], arguments].concat()).await;
        Self {
            program,
            ready,
            _data: data,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ready["url"].as_str().expect("a URL"))
    }

    /// A token that names a key and is signed with another secret.
    fn token_of(&self, issuer: &str) -> String {
        let secret = "another-secret-another-secret-another-secret";
        self.build(hexline_token::TokenBuilder::create().key(issuer, secret))
    }

    fn build(&self, builder: hexline_token::TokenBuilder) -> String {
        let builder = builder.api(self.url("")).grant("signal", true);
        let token = builder.identity("carol").device("web").build();
        token.expect("all is set")
    }

    fn platform_token(&self) -> String {
        let text = |name: &str| self.ready[name].as_str().expect("a text").to_owned();
        hexline_token::TokenBuilder::create()
            .key(text("key_id"), text("key_secret"))
            .access("platform")
            .api(self.url(""))
            .grant("platform", true)
            .build()
            .expect("all is set")
    }

    async fn connect(&self, identity: &str) -> Socket {
        let form = [("identity", identity), ("device", "web")];
        let request = client().post(self.url("/token")).form(&form);
        let answer: Value = request
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let token = answer["token"].as_str().expect("a token");
        let subject = claims(token)["sub"].as_str().expect("a subject").to_owned();
        let url = self.url(&format!("/client/signal/v1/pubsub?jwt={token}"));
        let at = self.url("").replace("http://localhost", "127.0.0.1");
        Socket::open(
            at.parse().expect("an address"),
            &subject,
            Socket::request(&url),
        )
        .await
        .expect("the door opens")
    }

    fn lines(&self) -> Vec<Value> {
        let log = self.program.log();
        let lines = log.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The first line with this message that is as wanted, once it is there.
    async fn line(&self, message: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                let mut lines = self.lines().into_iter();
                if let Some(line) = lines.find(|line| line["message"] == message && wanted(line)) {
                    return line;
                }
                tokio::task::yield_now().await;
            }
        };
        within(message, looking).await
    }

    async fn stop(self) -> String {
        let (well, _, log) = self.program.stop().await;
        assert!(well, "{log}");
        log
    }
}

/// Sends a request and gives the id of its answer.
async fn id_of(request: reqwest::RequestBuilder) -> String {
    let response = request.send().await.expect("an answer");
    let mut ids = response.headers().get_all("x-request-id").iter();
    let id = ids
        .next()
        .expect("every answer has one")
        .to_str()
        .expect("text");
    assert!(ids.next().is_none(), "one");
    id.to_owned()
}
