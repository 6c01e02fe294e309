use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hexline_model::{AppId, Clock as _, Identity, KeyId, Subject, SystemClock, Timestamp};
use hexline_services::RegistryServices;
use hexline_services::apps::{AppChanges, AppLimits, AppName, AppSettings};
use hexline_services::keys::{KeyService, NewKey};
use hexline_services::revocations::Scope;
use hexline_token::{Algorithm, Grants, TokenBuilder};
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::http::Request;

use crate::clock::TestClock;
use crate::http::{Refusal, refusal_of, upgrade};
use crate::server::TestServer;
use crate::socket::Socket;

/// An app of a [`TestServer`] and one of its keys: makes tokens and connections.
#[derive(Clone)]
pub struct TestApp {
    services: RegistryServices,
    app: AppId,
    key: KeyId,
    secret: String,
    base: String,
    at: SocketAddr,
    clock: TestClock,
}

impl TestApp {
    pub(crate) async fn create(
        services: RegistryServices,
        name: &str,
        server: &TestServer,
    ) -> Self {
        let name = AppName::parse(name).expect("a name for an app");
        let app = services
            .apps
            .create(name, AppSettings::default())
            .await
            .expect("the app is new");
        let (key, secret) =
            new_key(&services.keys, app.id, NewKey::generate(Algorithm::Hs256)).await;
        Self {
            services,
            app: app.id,
            key,
            secret,
            base: server.base(),
            at: server.at(),
            clock: server.clock(),
        }
    }

    /// The same app and key, on a server that has been started again.
    #[must_use]
    pub fn at(&self, server: &TestServer) -> Self {
        Self {
            services: server.services(),
            base: server.base(),
            at: server.at(),
            clock: server.clock(),
            ..self.clone()
        }
    }

    /// The same app with another key of it, with a ceiling in JSON or none.
    pub async fn another_key(&self, ceiling: Option<&str>) -> Self {
        let mut order = NewKey::generate(Algorithm::Hs256);
        if let Some(ceiling) = ceiling {
            order = order.ceiling(Grants::parse(ceiling).expect("a ceiling"));
        }
        self.register(order).await
    }

    /// The same app with a key that is made to order.
    pub async fn register(&self, order: NewKey) -> Self {
        let (key, secret) = new_key(&self.services.keys, self.app, order).await;
        Self {
            key,
            secret,
            ..self.clone()
        }
    }

    /// Deletes the app.
    pub async fn delete(&self) {
        self.services.apps.delete(self.app).await.expect("deleted");
    }

    /// Gives the app another name.
    pub async fn rename(&self, name: &str) {
        let name = AppName::parse(name).expect("a name for an app");
        let renamed = self.services.apps.rename(self.app, name).await;
        renamed.expect("the name is free");
    }

    /// Lets the app be stricter with itself than the server is.
    pub async fn limit(&self, limits: AppLimits) {
        let changes = AppChanges {
            limits: Some(limits),
            ..AppChanges::default()
        };
        let changed = self.services.apps.update(self.app, changes).await;
        changed.expect("limits");
    }

    /// The app's id.
    pub fn id(&self) -> String {
        self.app.to_string()
    }

    /// The app's id.
    pub fn app_id(&self) -> String {
        self.app.to_string()
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Now, for the app's server.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.at
    }

    /// The key's id: the `iss` of its tokens.
    pub fn key_id(&self) -> String {
        self.key.to_string()
    }

    /// The key's secret; empty for a public key.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// A builder of tokens for `identity/device`, with the `signal` grant and an hour to live.
    pub fn tokens(&self, subject: &str) -> TokenBuilder {
        let (identity, device) = subject.split_once('/').expect("identity/device");
        TokenBuilder::create()
            .key(self.key.to_string(), self.secret.as_str())
            .access("client")
            .api(self.base.as_str())
            .identity(identity)
            .device(device)
            .grant("signal", true)
    }

    /// A good token for `identity/device`.
    pub fn token(&self, subject: &str) -> String {
        self.tokens(subject).build().expect("all is set")
    }

    /// A public id of the app for its users' sign-in.
    pub async fn api_key(&self) -> String {
        let made = self.services.keys.create_api_key(self.app, None, "").await;
        made.expect("the app has a key that signs").id.to_string()
    }

    /// A token of the app's server that may do everything.
    pub fn platform_token(&self) -> String {
        TokenBuilder::create()
            .key(self.key.to_string(), self.secret.as_str())
            .access("platform")
            .api(self.base.as_str())
            .grant("platform", true)
            .build()
            .expect("all is set")
    }

    /// A token with other grants; it may be one that the builder would not make.
    pub fn token_granting(&self, subject: &str, grants: &Value) -> String {
        self.forge(&[("sub", json!(subject)), ("grants", grants.clone())])
    }

    /// A token without an `exp`.
    pub fn token_without_expiry(&self, subject: &str) -> String {
        let mut claims = self.claims();
        claims.insert("sub".to_owned(), json!(subject));
        claims.remove("exp");
        sign(&claims, &self.secret)
    }

    /// A token for `bob/web` with a claim as no builder would make it.
    pub fn token_with_claim(&self, claim: &str, value: &Value) -> String {
        self.forge(&[(claim, value.clone())])
    }

    /// A token for `identity/device` that lives between two moments.
    pub fn token_between(&self, subject: &str, issued: i64, expires: i64) -> String {
        self.forge(&[
            ("sub", json!(subject)),
            ("iat", json!(issued)),
            ("exp", json!(expires)),
        ])
    }

    /// A token that names another key.
    pub fn token_of(&self, issuer: &str, subject: &str) -> String {
        self.forge(&[("sub", json!(subject)), ("iss", json!(issuer))])
    }

    /// A token signed with a secret that is not the key's.
    pub fn token_with_another_secret(&self, subject: &str) -> String {
        let mut claims = self.claims();
        claims.insert("sub".to_owned(), json!(subject));
        sign(&claims, "another-secret-another-secret-another-secret")
    }

    /// A token signed with the key's secret by an algorithm that is not the key's.
    pub fn token_with_another_algorithm(&self, subject: &str) -> String {
        let mut claims = self.claims();
        claims.insert("sub".to_owned(), json!(subject));
        let header = json!({"typ": "JWT", "alg": "HS512"});
        sign_as(&header, hmac::HMAC_SHA512, &claims, &self.secret)
    }

    /// Opens a socket with a good token.
    pub async fn connect(&self, subject: &str) -> Socket {
        self.connect_with(subject, &self.token(subject)).await
    }

    /// Opens a socket with this token.
    pub async fn connect_with(&self, subject: &str, token: &str) -> Socket {
        Socket::open(self.at, subject, self.request(token))
            .await
            .unwrap_or_else(|error| panic!("{subject} is let in: {error}"))
    }

    /// The upgrade request with this token.
    pub fn request(&self, token: &str) -> Request<()> {
        Socket::request(&self.pubsub(token))
    }

    /// The upgrade request with this token, by an HTTP client.
    pub fn upgrade(&self, token: &str) -> reqwest::RequestBuilder {
        upgrade(&self.pubsub(token))
    }

    /// How the door refuses this token.
    pub async fn refused(&self, token: &str) -> Refusal {
        refusal_of(self.upgrade(token)).await
    }

    /// Revokes the key.
    pub async fn revoke_key(&self) {
        let revoked = self.services.keys.revoke_key(self.key).await;
        revoked.expect("the key is there");
    }

    /// Replaces the key; the old one lives on for a while.
    pub async fn rotate(&self, overlap: Duration) -> Self {
        let created = self.services.keys.rotate_key(self.key, Some(overlap)).await;
        let created = created.expect("the key is active");
        let secret = created.secret.expect("an HMAC key has a secret");
        Self {
            key: created.record.id,
            secret: secret.expose().clone(),
            ..self.clone()
        }
    }

    /// Revokes the token with this `jti`.
    pub async fn revoke_token(&self, jti: &str) {
        let revoked = self
            .services
            .revocations
            .revoke_token(self.app, jti, None)
            .await;
        revoked.expect("the app is there");
    }

    /// Revokes what was issued to an identity so far.
    pub async fn revoke_identity(&self, identity: &str) {
        let identity = Identity::parse(identity).expect("an identity");
        self.revoke_issued(Scope::Identity(identity)).await;
    }

    /// Revokes what was issued to `identity/device` so far.
    pub async fn revoke_device(&self, subject: &str) {
        let subject = Subject::parse(subject).expect("identity/device");
        self.revoke_issued(Scope::Device(subject)).await;
    }

    /// Revokes what was issued in the app so far.
    pub async fn revoke_all(&self) {
        self.revoke_issued(Scope::App).await;
    }

    /// Disables the app.
    pub async fn disable(&self) {
        let disabled = self.services.apps.disable(self.app).await;
        disabled.expect("the app is there");
    }

    /// Enables the app again.
    pub async fn enable(&self) {
        let enabled = self.services.apps.enable(self.app).await;
        enabled.expect("the app is there");
    }

    /// Changes the app's settings.
    pub async fn set(&self, change: impl FnOnce(&mut AppSettings)) {
        let mut settings = AppSettings::default();
        change(&mut settings);
        let updated = self.services.apps.update(self.app, settings).await;
        updated.expect("the settings are within their bounds");
    }

    async fn revoke_issued(&self, scope: Scope) {
        let at = SystemClock::new().now();
        let revoked = self
            .services
            .revocations
            .revoke_issued_before(self.app, scope, at)
            .await;
        revoked.expect("the app is there");
    }

    fn pubsub(&self, token: &str) -> String {
        format!("http://{}/client/signal/v1/pubsub?jwt={token}", self.at)
    }

    fn claims(&self) -> Map<String, Value> {
        let claims = json!({
            "aud": format!("{}/client/v1", self.base),
            "sub": "bob/web",
            "grants": {"signal": true},
            "iss": self.key.to_string(),
            "iat": now(),
            "exp": now() + 3600,
        });
        claims.as_object().expect("an object").clone()
    }

    fn forge(&self, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims();
        for (name, value) in changes {
            claims.insert((*name).to_owned(), value.clone());
        }
        sign(&claims, &self.secret)
    }
}

/// Now in Unix seconds.
pub fn now() -> i64 {
    SystemClock::new().now().as_secs()
}

async fn new_key(keys: &KeyService, app: AppId, order: NewKey) -> (KeyId, String) {
    let created = keys.create_key(app, order).await.expect("a good order");
    let secret = created.secret.map(|secret| secret.expose().clone());
    (created.record.id, secret.unwrap_or_default())
}

/// Signs claims without the builder, so that they can be wrong.
fn sign(claims: &Map<String, Value>, secret: &str) -> String {
    let header = json!({"typ": "JWT", "alg": "HS256"});
    sign_as(&header, hmac::HMAC_SHA256, claims, secret)
}

fn sign_as(
    header: &Value,
    algorithm: hmac::Algorithm,
    claims: &Map<String, Value>,
    secret: &str,
) -> String {
    let encode = |value: &str| BASE64_URL_SAFE_NO_PAD.encode(value);
    let claims = serde_json::to_string(claims).expect("JSON");
    let signed = format!("{}.{}", encode(&header.to_string()), encode(&claims));
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
