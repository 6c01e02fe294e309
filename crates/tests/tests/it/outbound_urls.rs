//! URLs that somebody gives the server lead to no private address, in whatever way it is written.

use hexline_server::config::Config;
use hexline_tests::{TestApp, TestOperator, TestServer, refusal};
use reqwest::Method;
use serde_json::{Value, json};

/// Addresses that no URL may name unless that is allowed, in the spellings that URL parsers take.
const PRIVATE: [&str; 11] = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "localhost",
    "a.localhost.",
    "10.0.0.1",
    "192.168.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
];

/// Addresses that no URL may name.
const NEVER: [&str; 7] = [
    "169.254.169.254",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "0.0.0.0",
    "[fd00:ec2::254]",
    "100.100.100.200",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_takes_a_url_of_a_private_address() {
    let world = World::start(|_| {}).await;
    for host in PRIVATE.iter().chain(&NEVER) {
        for (setting, found) in world.set(host).await {
            assert_eq!(found, Err(400), "{setting}: {host}");
        }
    }
    for (setting, found) in world.set("id.example").await {
        assert_eq!(found, Ok(()), "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_inside_a_company_may_be_allowed_but_no_link_local_or_metadata_address() {
    let world = World::start(|config| {
        config.allow_private_providers = true;
        config.webhooks.allow_private = true;
    })
    .await;
    for (setting, found) in world.set("10.0.0.1").await {
        assert_eq!(found, Ok(()), "{setting}");
    }
    for host in NEVER {
        for (setting, found) in world.set(host).await {
            assert_eq!(found, Err(400), "{setting}: {host}");
        }
    }
    for url in ["http://10.0.0.1/jwks", "http://127.0.0.1/jwks"] {
        assert_eq!(world.import(url).await, Err(400), "{url}: https only");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_option_is_not_that_of_webhooks() {
    let world = World::start(|config| config.webhooks.allow_private = true).await;
    for (setting, found) in world.set("10.0.0.1").await {
        let wanted = if setting == "webhook" {
            Ok(())
        } else {
            Err(400)
        };
        assert_eq!(found, wanted, "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_browser_is_sent_to_a_scheme_that_it_runs() {
    let world = World::start(|_| {}).await;
    for uri in [
        "javascript:alert(1)",
        "JaVaScRiPt://shop.example/%0aalert(1)",
        " javascript:alert(1)",
        "\u{1}javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "blob:https://shop.example/x",
        "file:///etc/passwd",
        "filesystem:https://shop.example/x",
        "about:blank",
        "view-source:https://shop.example/",
    ] {
        let settings = json!({"redirect_uris": [uri]});
        let path = world.sign_in();
        let found = world.owner.refused(Method::PUT, &path, &settings).await;
        assert_eq!(found, refusal(400, "invalid_request"), "{uri:?}");
    }
    let settings = json!({"redirect_uris": [
        "https://shop.example/done", "com.example.app:/done", "myapp://done",
    ]});
    let set = world.owner.put(&world.sign_in(), &settings).await;
    assert_eq!(set["redirect_uris"], settings["redirect_uris"]);
}

/// A server without `--dev`, an app and an owner.
struct World {
    _server: TestServer,
    app: TestApp,
    owner: TestOperator,
}

type Found = Result<(), u16>;

impl World {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let server = TestServer::start_with(change).await;
        Self {
            app: server.app("shop").await,
            owner: server.operator().await,
            _server: server,
        }
    }

    /// Tries every setting that holds a URL with this host.
    async fn set(&self, host: &str) -> Vec<(&'static str, Found)> {
        let url = format!("https://{host}:8443/x");
        let issuer = json!({"oidc": [{"id": "acme", "issuer": url, "client_id": "c"}]});
        let external = json!({"external": {"url": url}});
        let webhooks = format!("/apps/{}/webhooks", self.app.id());
        let webhook = json!({"url": url, "events": ["*"]});
        vec![
            ("jwks_url", self.import(&url).await),
            (
                "issuer",
                self.send(Method::PUT, &self.sign_in(), &issuer).await,
            ),
            (
                "external",
                self.send(Method::PUT, &self.sign_in(), &external).await,
            ),
            (
                "webhook",
                self.send(Method::POST, &webhooks, &webhook).await,
            ),
        ]
    }

    async fn import(&self, url: &str) -> Found {
        let path = format!("/apps/{}/keys/import", self.app.id());
        let order = json!({"kind": "jwks_url", "url": url});
        self.send(Method::POST, &path, &order).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Found {
        let request = self.owner.request(method, path).json(body);
        let status = request.send().await.expect("an answer").status();
        if status.is_success() {
            Ok(())
        } else {
            Err(status.as_u16())
        }
    }

    fn sign_in(&self) -> String {
        format!("/apps/{}/sign-in", self.app.id())
    }
}
