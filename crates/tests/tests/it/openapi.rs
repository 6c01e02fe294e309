//! The descriptions of the API, and whether the server does as they say.

use std::collections::{BTreeMap, BTreeSet};

use hexline_tests::api::{Document, Hints, Input, Operation, Place};
use hexline_tests::{OWNER_EMAIL, OWNER_PASSWORD, TestApp, TestOperator, TestServer, client};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_where_the_server_is_and_who_may_come_in() {
    let server = TestServer::start_with(|config| {
        config.public_url = Some("https://chat.example/rt".to_owned());
    })
    .await;
    for prefix in ["", "/rt"] {
        let response = client()
            .get(server.url(&format!("{prefix}/openapi.json")))
            .header("origin", "https://page.example")
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let document: Value = response.json().await.expect("JSON");
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(
            document["servers"],
            json!([{"url": "https://chat.example/rt"}])
        );
        let schemes = document["components"]["securitySchemes"].as_object();
        let schemes: Vec<&String> = schemes.expect("schemes").keys().collect();
        let wanted = ["apikey", "clientToken", "consoleSession", "platformToken"];
        assert_eq!(schemes, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_has_a_name_a_tag_and_a_line_of_text() {
    let world = World::start().await;
    let mut names = BTreeSet::new();
    let tags: BTreeSet<&str> = world.document.value()["tags"]
        .as_array()
        .expect("tags")
        .iter()
        .map(|tag| tag["name"].as_str().expect("a name"))
        .collect();
    let paths = world.document.value()["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let place = format!("{method} {path}");
            let name = operation["operationId"].as_str().expect("an operationId");
            assert!(names.insert(name), "{place}: {name} stands twice");
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            assert!(tags.contains(tag), "{place}: the tag {tag:?} is not listed");
            let text = operation["summary"].as_str().unwrap_or_default();
            assert!(!text.is_empty() && text.len() < 100, "{place}: {text:?}");
            let held = path.split('{').skip(1).map(|part| part.split('}').next());
            let held: BTreeSet<&str> = held.flatten().collect();
            let described = world.operation(method, path).parameters.clone();
            let described: BTreeSet<String> = described
                .into_iter()
                .filter(|parameter| parameter.place == Place::Path)
                .map(|parameter| parameter.name)
                .collect();
            assert!(described.iter().eq(held.iter()), "{place}: {described:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_described_whatever_it_is_given() {
    let mut world = World::start().await;
    let mut faults: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut unreached = BTreeSet::new();
    let only = std::env::var("HEXLINE_OPERATION").unwrap_or_default();
    for operation in world.document.operations() {
        let name = operation.name();
        if !name.contains(&only) {
            continue;
        }
        let (found, reached) = world.try_all(&operation).await;
        if !found.is_empty() {
            faults.insert(name.clone(), found);
        }
        if !reached {
            unreached.insert(name);
        }
    }
    let shown: Vec<String> = faults
        .iter()
        .map(|(name, found)| format!("{name}\n    {}", found.join("\n    ")))
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    let expected: BTreeSet<String> = UNREACHED.iter().map(|&name| name.to_owned()).collect();
    let more: Vec<&String> = unreached.difference(&expected).collect();
    assert!(more.is_empty(), "no input succeeded with {more:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_api_loads_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let response = client().get(server.url("/docs")).send().await;
    let response = response.expect("an answer");
    let policy = response.headers()["content-security-policy"].clone();
    let policy = policy.to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = response.text().await.expect("a page");
    for name in ["docs/docs.css", "docs/docs.js"] {
        assert!(page.contains(name), "{name}");
        let response = client().get(server.url(&format!("/{name}"))).send().await;
        let text = response.expect("an answer").text().await.expect("text");
        assert!(text.len() > 1000, "{name}");
        assert!(!text.contains("://"), "{name} names another server");
        assert!(!text.contains("innerHTML"), "{name}");
    }
    assert!(!page.contains("://"), "the page names another server");
    assert!(
        !page.contains("<style") && !page.contains(" style="),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_websockets_methods_are_described_too() {
    let server = TestServer::start().await;
    let response = client().get(server.url("/openrpc.json")).send().await;
    let document: Value = response.expect("an answer").json().await.expect("JSON");
    assert_eq!(document["openrpc"], "1.3.2");
    let url = document["servers"][0]["url"].as_str().expect("a URL");
    assert_eq!(
        url,
        format!(
            "{}/client/signal/v1/pubsub",
            server.base().replace("http", "ws")
        )
    );
    let app = server.app("one").await;
    let mut bob = app.connect("bob/web").await;
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name");
        let mut params = json!({"to": "bob", "id": "room", "presence": true});
        let known = method["params"].as_array().expect("params");
        let members = params.as_object_mut().expect("an object");
        members.retain(|name, _| known.iter().any(|param| param["name"] == name.as_str()));
        let frame = json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": params});
        bob.text(frame.to_string()).await;
        let answer = bob.frame().await;
        let described = Document::new(document.clone());
        let checked = described.check(&method["result"]["schema"], &answer["result"]);
        checked.unwrap_or_else(|why| panic!("{name}: {why} in {answer}"));
    }
}

/// What generated input cannot do: a handshake, a password that is not known, an event stream, ….
const UNREACHED: &[&str] = &[
    "GET /client/signal/pubsub",
    "GET /client/signal/v1/pubsub",
    "GET /client/v1/signal/pubsub",
    "GET /dev/echo",
    // An authenticator, or an app for codes, has to answer.
    "DELETE /console/api/profile/passkeys/{passkey}",
    "POST /console/api/profile/passkeys/finish",
    "POST /console/api/profile/totp/confirm",
    "POST /console/api/session/passkey/finish",
    // Nothing is switched on, and no provider is there.
    "POST /app/auth/v1/strategies/anonymous/token",
    "POST /app/auth/v1/strategies/external/token",
    "POST /app/auth/v1/strategies/{strategy}/token",
    "GET /app/auth/v1/strategies/{strategy}/authorize",
    "GET /app/auth/v1/callback",
    "POST /app/auth/v1/callback",
    "POST /app/auth/v1/token/refresh",
    // There is an operator already.
    "POST /console/api/setup",
    // These want an authenticator or its app.
    "DELETE /console/api/profile/passkeys/{passkey}",
    "POST /console/api/profile/passkeys/finish",
    "POST /console/api/profile/totp/confirm",
    "POST /console/api/session/passkey/finish",
];

/// A server with everything switched on, and what it takes to be let in everywhere.
struct World {
    server: TestServer,
    operator: TestOperator,
    document: Document,
    client: reqwest::Client,
    apps: usize,
}

impl World {
    async fn start() -> Self {
        let server = TestServer::start_with(|config| config.dev = true).await;
        let response = client().get(server.url("/openapi.json")).send().await;
        let document = response.expect("an answer").json().await.expect("JSON");
        let operator = server.operator().await;
        Self {
            server,
            operator,
            document: Document::new(document),
            client: client(),
            apps: 0,
        }
    }

    fn operation(&self, method: &str, path: &str) -> Operation {
        let mut all = self.document.operations().into_iter();
        let found = all.find(|o| o.method == method && o.path == path);
        found.expect("it is in the document")
    }

    /// What is wrong with an operation, and whether any input succeeded.
    async fn try_all(&mut self, operation: &Operation) -> (Vec<String>, bool) {
        self.apps += 1;
        let app = self.server.app(&format!("generated-{}", self.apps)).await;
        // Somebody is there to be listed and told something.
        let mut bob = app.connect("bob/web").await;
        bob.call("signal.join", json!({"id": "room"})).await;
        let good = self.good_credentials(&app, operation).await;
        let hints = self.hints(&app, operation, &good[0]).await;
        let mut faults: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let mut reached = false;
        let [least, full] =
            [false, true].map(|full| Input::valid(&self.document, operation, &hints, full));
        let mut inputs = vec![least.clone(), full];
        inputs.extend(least.variations(&self.document, operation, &hints));
        for input in &inputs {
            for credentials in &good {
                let status = self
                    .attempt(operation, input, credentials, &mut faults)
                    .await;
                reached |= status.is_some_and(|status| status < 400);
            }
        }
        for credentials in Self::bad_credentials(&app, operation) {
            let status = self
                .attempt(operation, &least, &credentials, &mut faults)
                .await;
            let let_in = status.is_some_and(|status| (200..300).contains(&status));
            if let_in && !operation.schemes.is_empty() {
                let who: String = format!("{credentials:?}").chars().take(40).collect();
                let what = format!("{who} was let in");
                faults.insert(what, (String::new(), 1));
            }
        }
        if !self.operator_is_signed_in().await {
            // An operation has ended the session, as it should.
            *self = Self {
                apps: self.apps,
                ..Self::start().await
            };
        }
        let faults = faults
            .into_iter()
            .map(|(fault, (label, times))| format!("{fault} ({label}; {times} times)"));
        (faults.collect(), reached)
    }

    async fn attempt(
        &self,
        operation: &Operation,
        input: &Input,
        credentials: &Credentials,
        faults: &mut BTreeMap<String, (String, usize)>,
    ) -> Option<u16> {
        let mut note = |fault: String| {
            let fault: String = fault.chars().take(400).collect();
            let label = input.label.chars().take(60).collect();
            faults.entry(fault).or_insert((label, 0)).1 += 1;
        };
        let response = match self.send(operation, input, credentials).await {
            Ok(response) => response,
            Err(error) => {
                note(format!("no answer: {error}"));
                return None;
            }
        };
        let status = response.status().as_u16();
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind
            .map_or("", |kind| kind.to_str().expect("text"))
            .to_owned();
        // A stream of events has no end.
        let body = if kind.starts_with("text/event-stream") {
            Vec::new()
        } else {
            response.bytes().await.expect("a body").to_vec()
        };
        if let Err(fault) = self.document.judge(operation, status, &kind, &body) {
            note(fault);
        }
        Some(status)
    }

    async fn send(
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

    async fn operator_is_signed_in(&self) -> bool {
        let request = self.operator.request(Method::GET, "/session");
        let response = request.send().await.expect("an answer");
        response.status().is_success()
    }

    /// What is known to be there: an app with a key, and whatever else the path wants.
    async fn hints(&self, app: &TestApp, operation: &Operation, who: &Credentials) -> Hints {
        let another = app.another_key(None).await;
        let number = self.apps;
        let mut hints = Hints::new();
        for (name, value) in [
            ("app", json!(app.id())),
            ("key", json!(another.key_id())),
            ("file", json!("docs.js")),
            ("version", json!("any")),
            ("name", json!(format!("made-{number}"))),
            ("email", json!(format!("made-{number}@example.org"))),
            ("identity", json!("bob")),
            ("device", json!("web")),
            ("channel", json!("room")),
            ("grants", json!({"signal": true})),
            ("url", json!("https://hooks.example/in")),
            ("token", json!(app.token("bob/web"))),
            ("subject_token", json!(app.token("bob/web"))),
        ] {
            hints.insert(name.to_owned(), value);
        }
        for (name, value) in self.hints_for(&operation.path).await {
            hints.insert(name.to_owned(), json!(value));
        }
        if operation.path.contains("/api-keys/{key}") {
            hints.insert("key".to_owned(), json!(app.api_key().await));
        }
        if operation.path.contains("{delivery}") {
            hints.insert("delivery".to_owned(), self.delivery(app).await);
        }
        if let Some(body) = body_for(&operation.path, number) {
            hints.insert(String::new(), body);
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
            "/console/api/profile/password" => vec![
                ("current", owned(OWNER_PASSWORD)),
                ("new", owned("another horse, another staple")),
            ],
            "/console/api/profile/totp/remove" => vec![("password", owned(OWNER_PASSWORD))],
            "/console/assets/{version}/{name}" => vec![("name", owned("base.css"))],
            "/console/api/invitation" => {
                let order = json!({"email": "ivan@example.org", "role": "viewer", "apps": null});
                let made = self.operator.post("/operators", &order).await;
                let url = made["invitation_url"].as_str().expect("a link");
                let token = url.split('#').nth(1).expect("a token");
                vec![("token", owned(token)), ("password", owned(OWNER_PASSWORD))]
            }
            _ => Vec::new(),
        }
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

    async fn good_credentials(&self, app: &TestApp, operation: &Operation) -> Vec<Credentials> {
        let mut good = Vec::new();
        for scheme in &operation.schemes {
            good.push(match scheme.as_str() {
                "clientToken" => Credentials::Bearer(app.token("bob/web")),
                "platformToken" => Credentials::Bearer(app.platform_token()),
                "consoleSession" => Credentials::Cookie(self.operator.cookie().to_owned()),
                "apikey" => Credentials::ApiKey(app.api_key().await),
                other => panic!("{other} is no scheme that this test knows"),
            });
        }
        if good.is_empty() {
            good.push(Credentials::None);
        }
        good
    }

    fn bad_credentials(app: &TestApp, operation: &Operation) -> Vec<Credentials> {
        let mut bad = vec![
            Credentials::None,
            Credentials::Bearer(String::new()),
            Credentials::Bearer("a.b.c".to_owned()),
            Credentials::Bearer(app.token_with_another_secret("bob/web")),
            Credentials::Bearer(app.token_of("0123456789abcdef0123456789abcdef", "bob/web")),
            Credentials::Cookie("hexline_console=forged".to_owned()),
            Credentials::Cookie(format!("hexline_console={}", "a".repeat(3000))),
            Credentials::ApiKey(String::new()),
            Credentials::ApiKey("0123456789abcdef0123456789abcdef".to_owned()),
        ];
        if !operation
            .schemes
            .iter()
            .any(|scheme| scheme == "clientToken")
        {
            bad.push(Credentials::Bearer(app.token("bob/web")));
        }
        if !operation
            .schemes
            .iter()
            .any(|scheme| scheme == "platformToken")
        {
            bad.push(Credentials::Bearer(app.platform_token()));
        }
        bad
    }
}

/// A body where one is wanted that no schema can tell.
fn body_for(path: &str, number: usize) -> Option<Value> {
    let name = path.strip_prefix("/console/api/apps/{app}/")?;
    Some(match name {
        "delete" => json!({ "confirm": format!("generated-{number}") }),
        "revocations" => json!({ "identity": "bob" }),
        "keys/import" => json!({
            "kind": "hmac",
            "id": format!("{number:032x}"),
            "secret": "wP2ZK6sYb3dQm8Tf0LxV5nRj7HcGa1EuIo4SkD9BvNM",
        }),
        _ => return None,
    })
}

/// Who makes a request.
#[derive(Debug)]
enum Credentials {
    None,
    Bearer(String),
    Cookie(String),
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
