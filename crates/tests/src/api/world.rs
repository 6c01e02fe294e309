use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{Document, Hints, Input, Operation, Place};
use crate::{
    Authenticator, CLIENT, OWNER_EMAIL, OWNER_PASSWORD, SECRET, TestApp, TestOperator,
    TestProvider, TestServer, client,
};

/// A server with everything switched on, its document, and an owner of it.
pub struct ApiWorld {
    /// The server.
    pub server: TestServer,
    /// Who may do everything.
    pub operator: TestOperator,
    /// What the server says of its API.
    pub document: Document,
    client: reqwest::Client,
    provider: TestProvider,
    apps: usize,
}

impl ApiWorld {
    /// Starts the server and reads its document.
    pub async fn start() -> Self {
        Self::on(TestServer::start_with(|config| config.dev = true).await).await
    }

    /// The same on a server that is not in development.
    pub async fn start_as_in_use() -> Self {
        Self::on(TestServer::start().await).await
    }

    async fn on(server: TestServer) -> Self {
        let response = client().get(server.url("/openapi.json")).send().await;
        let document = response.expect("an answer").json().await.expect("JSON");
        let operator = server.operator().await;
        Self {
            server,
            operator,
            document: Document::new(document),
            client: client(),
            provider: TestProvider::start().await,
            apps: 0,
        }
    }

    /// The same on a new server; what is made there has other names.
    pub async fn start_again(&mut self) {
        *self = Self {
            apps: self.apps,
            ..Self::start().await
        };
    }

    /// A new app.
    pub async fn app(&mut self) -> TestApp {
        self.apps += 1;
        self.server.app(&format!("generated-{}", self.apps)).await
    }

    /// One operation.
    pub fn operation(&self, method: &str, path: &str) -> Operation {
        let mut all = self.document.operations().into_iter();
        let found = all.find(|o| o.method == method && o.path == path);
        found.expect("it is in the document")
    }

    /// Sends an input as somebody.
    pub async fn send(
        &self,
        operation: &Operation,
        input: &Input,
        credentials: &Credentials,
    ) -> Result<reqwest::Response, reqwest::Error> {
        let method: Method = operation.method.to_uppercase().parse().expect("a method");
        let mut query = input.query.clone();
        if let (Credentials::ApiKey(key), false) = (credentials, query.contains("apikey=")) {
            query += if query.is_empty() { "?" } else { "&" };
            query.push_str("apikey=");
            query.push_str(key);
        }
        let url = self.server.url(&format!("{}{query}", input.path));
        let mut request = credentials.add_to(self.client.request(method, url));
        for (name, value) in &input.headers {
            request = request.header(name, value);
        }
        if let Some((kind, body)) = &input.body {
            request = request.body(body.clone());
            if !kind.is_empty() {
                request = request.header(CONTENT_TYPE, kind);
            }
        }
        request.send().await
    }

    /// What an operation takes: the ids of what is there, and what its path alone wants.
    pub async fn hints(&self, app: &TestApp, operation: &Operation, who: &Credentials) -> Hints {
        let mut hints = self.ids(app, operation, who).await;
        if operation.path.starts_with("/app/auth/v1") {
            hints.extend(self.sign_in(app).await);
        }
        for (name, value) in self.hints_for(&operation.path).await {
            hints.insert(name.to_owned(), json!(value));
        }
        hints
    }

    /// What is there: an app with a key, and whatever else the path names. `who` may make it.
    pub async fn ids(&self, app: &TestApp, operation: &Operation, who: &Credentials) -> Hints {
        let another = app.another_key(None).await;
        let number = self.apps;
        let mut hints = Hints::new();
        for (name, value) in [
            ("app", json!(app.id())),
            ("apps", json!([app.id()])),
            ("key", json!(another.key_id())),
            ("strategy", json!("acme")),
            ("file", json!("docs.js")),
            ("version", json!("any")),
            ("name", json!(format!("made-{number}"))),
            ("email", json!(format!("made-{number}@example.org"))),
            ("confirm", json!(format!("generated-{number}"))),
            ("identity", json!("bob")),
            ("device", json!("web")),
            ("channel", json!("room")),
            ("token", json!(app.token("bob/web"))),
            ("subject_token", json!(app.token("bob/web"))),
        ] {
            hints.insert(name.to_owned(), value);
        }
        if operation.path.contains("/api-keys/{key}") {
            hints.insert("key".to_owned(), json!(app.api_key().await));
        }
        if operation.path.contains("{delivery}") {
            hints.insert("delivery".to_owned(), self.delivery(app).await);
        }
        if operation.path.contains("{passkey}") {
            hints.insert("passkey".to_owned(), self.passkey().await);
        }
        for parameter in &operation.parameters {
            if parameter.place == Place::Path && !hints.contains_key(&parameter.name) {
                let slot = format!("/{{{}}}", parameter.name);
                let (collection, _) = operation.path.split_once(&slot).expect("its place");
                if let Some(id) = self
                    .member_of(collection, &parameter.name, &hints, who)
                    .await
                {
                    hints.insert(parameter.name.clone(), id);
                }
            }
        }
        hints
    }

    /// What a single path wants and no other.
    async fn hints_for(&self, path: &str) -> Vec<(&'static str, String)> {
        let owned = ToOwned::to_owned;
        match path {
            "/console/api/session" => vec![
                ("email", owned(OWNER_EMAIL)),
                ("password", owned(OWNER_PASSWORD)),
            ],
            "/console/api/profile/password" => vec![("new", owned(OWNER_PASSWORD))],
            "/console/api/session/confirm" => vec![("password", owned(OWNER_PASSWORD))],
            "/console/assets/{version}/{name}" => vec![("name", owned("base.css"))],
            "/console/api/invitation" | "/console/api/invitation/check" => {
                let email = format!("ivan{}@example.org", path.len());
                let order = json!({"email": email, "role": "viewer", "apps": null});
                let made = self.operator.post("/operators", &order).await;
                let url = made["invitation_url"].as_str().expect("a link");
                let token = url.split('#').nth(1).expect("a token");
                vec![("token", owned(token)), ("password", owned(OWNER_PASSWORD))]
            }
            _ => Vec::new(),
        }
    }

    /// Lets users of an app in, by every strategy; what proves one of them, and has signed in.
    async fn sign_in(&self, app: &TestApp) -> Hints {
        let issuer = self.provider.issuer();
        let redirect = "https://app.example/done";
        let settings = json!({
            "anonymous": {"enabled": true, "ttl_s": 60, "grants": {"signal": true},
                "per_minute": 10_000},
            "oidc": [{"id": "acme", "issuer": issuer, "client_id": CLIENT,
                "client_secret": SECRET}],
            "redirect_uris": [redirect],
        });
        let path = format!("/apps/{}/sign-in", app.id());
        self.operator.put(&path, &settings).await;
        let id_token = self.provider.id_token(&json!({}));
        let url = format!(
            "/app/auth/v1/strategies/acme/token?apikey={}",
            app.api_key().await
        );
        let proof = json!({"device": "web", "id_token": id_token});
        let request = self.client.post(self.server.url(&url)).json(&proof);
        let (_, signed_in) = crate::answer(request).await;
        let hints = [
            // One is good once.
            (
                "id_token",
                json!(self.provider.id_token(&json!({"sub": "another"}))),
            ),
            ("redirect_uri", json!(redirect)),
            ("refresh_token", signed_in["refresh_token"].clone()),
        ];
        let hints = hints.into_iter();
        hints.map(|(name, hint)| (name.to_owned(), hint)).collect()
    }

    /// Something that a webhook is to be told.
    async fn delivery(&self, app: &TestApp) -> Value {
        let webhooks = format!("/apps/{}/webhooks", app.id());
        let order = json!({"url": "https://hooks.example/in", "events": ["*"]});
        let made = self.operator.post(&webhooks, &order).await;
        let id = made["id"].as_str().expect("an id");
        let test = self
            .operator
            .post(&format!("{webhooks}/{id}/test"), &json!({}))
            .await;
        test["id"].clone()
    }

    /// A passkey of the operator.
    async fn passkey(&self) -> Value {
        let passkeys = "/profile/passkeys";
        let start = format!("{passkeys}/start");
        let question = self.operator.post(&start, &Value::Null).await;
        let mut key = Authenticator::new(&self.server.base());
        let credential = key.create(&question["options"]);
        let body = json!({"id": question["id"], "label": "a key", "credential": credential});
        let made = self
            .operator
            .post(&format!("{passkeys}/finish"), &body)
            .await;
        made["id"].clone()
    }

    /// The id of something in a collection: made for this, or else found there.
    async fn member_of(
        &self,
        collection: &str,
        name: &str,
        hints: &Hints,
        who: &Credentials,
    ) -> Option<Value> {
        for method in ["post", "get"] {
            let mut all = self.document.operations().into_iter();
            let Some(operation) = all.find(|o| o.method == method && o.path == collection) else {
                continue;
            };
            let input = Input::valid(&self.document, &operation, hints, true);
            let response = self.send(&operation, &input, who).await.expect("an answer");
            if !response.status().is_success() {
                continue;
            }
            let body: Value = response.json().await.unwrap_or_default();
            let made = body.get("items").map_or(&body, |items| &items[0]);
            let inner = made
                .as_object()
                .into_iter()
                .flat_map(|members| members.values());
            let id = std::iter::once(made)
                .chain(inner)
                .find_map(|value| [name, "id"].iter().find_map(|name| value.get(name)));
            if let Some(id) = id.filter(|id| id.is_string()) {
                return Some(id.clone());
            }
        }
        None
    }
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nobody.
    None,
    /// Who holds this token.
    Bearer(String),
    /// The operator with this cookie.
    Cookie(String),
    /// A program of the app with this public id.
    ApiKey(String),
}

impl Credentials {
    fn add_to(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::None | Self::ApiKey(_) => request,
            Self::Bearer(token) => request.bearer_auth(token),
            Self::Cookie(cookie) => request
                .header("cookie", cookie)
                .header("sec-fetch-site", "same-origin"),
        }
    }
}
