use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::http::client;
use crate::operator::TestOperator;
use crate::provider::{CLIENT, SECRET, TestProvider};
use crate::server::TestServer;

/// A server in development, an app with an API key, an operator, and a provider.
pub struct SignInWorld {
    /// The server.
    pub server: TestServer,
    /// The app.
    pub app: TestApp,
    /// Who sets it up.
    pub operator: TestOperator,
    /// Where its users sign in.
    pub provider: TestProvider,
    /// What its programs name.
    pub api_key: String,
}

impl SignInWorld {
    /// Starts all of it, with nothing switched on.
    pub async fn start() -> Self {
        Self::on(TestServer::start_with(|config| config.dev = true).await).await
    }

    /// The same on this server.
    pub async fn on(server: TestServer) -> Self {
        let app = server.app("one").await;
        Self {
            operator: server.operator().await,
            api_key: app.api_key().await,
            provider: TestProvider::start().await,
            app,
            server,
        }
    }

    /// The same with the provider switched on as `acme`.
    pub async fn with_provider() -> Self {
        let world = Self::start().await;
        world.set(&json!({"oidc": [world.acme(&json!({}))]})).await;
        world
    }

    /// The provider as a strategy, with other settings as named.
    pub fn acme(&self, changes: &Value) -> Value {
        let mut acme = json!({
            "id": "acme",
            "issuer": self.provider.issuer(),
            "client_id": CLIENT,
            "client_secret": SECRET,
            "profile": {"name": "name"},
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            acme[name] = value.clone();
        }
        acme
    }

    /// Replaces how the app's users sign in.
    pub async fn set(&self, settings: &Value) -> Value {
        let path = format!("/apps/{}/sign-in", self.app.id());
        self.operator.put(&path, settings).await
    }

    /// A request to a path below `/app/auth/v1`.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        client().post(self.url(path, &self.api_key)).json(body)
    }

    /// The URL of a path below `/app/auth/v1`.
    pub fn url(&self, path: &str, api_key: &str) -> String {
        let mark = if path.contains('?') { '&' } else { '?' };
        self.server
            .url(&format!("/app/auth/v1{path}{mark}apikey={api_key}"))
    }

    /// A sign-in that succeeds.
    pub async fn signs_in(&self, strategy: &str, body: &Value) -> Value {
        succeeds(self.post(&format!("/strategies/{strategy}/token"), body)).await
    }

    /// A sign-in that does not: the status and `details.reason`, else the code.
    pub async fn refuses(&self, strategy: &str, body: &Value) -> (u16, String) {
        refused(self.post(&format!("/strategies/{strategy}/token"), body)).await
    }

    /// A refresh that succeeds.
    pub async fn refreshes(&self, token: &Value) -> Value {
        let body = json!({"refresh_token": token, "device": "web"});
        succeeds(self.post("/token/refresh", &body)).await
    }

    /// A refresh that does not.
    pub async fn refuses_refresh(&self, token: &Value) -> (u16, String) {
        let body = json!({"refresh_token": token, "device": "web"});
        refused(self.post("/token/refresh", &body)).await
    }

    /// What was answered opens a socket.
    pub async fn connects(&self, answer: &Value) {
        let text = |name: &str| answer[name].as_str().expect("text").to_owned();
        let subject = format!("{}/{}", text("identity"), text("device"));
        let mut socket = self.server.connect(&subject, &text("token")).await;
        assert_eq!(socket.after_ping().await, []);
    }
}

async fn succeeds(request: RequestBuilder) -> Value {
    let response = request.send().await.expect("the server answers");
    let status = response.status();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(status, 200, "{body}");
    body
}

/// How a request is refused: the status and `details.reason`, else the code.
pub async fn refused(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.expect("the server answers");
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    assert!(status >= 400, "{body}");
    assert!(
        body["message"].as_str().is_some_and(|m| !m.is_empty()),
        "{body}"
    );
    let reason = body["details"]["reason"].as_str().or(body["code"].as_str());
    (status, reason.expect("a reason").to_owned())
}
