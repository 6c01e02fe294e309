use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::http::{Refusal, client, refusal_of};
use crate::server::TestServer;

/// An operator who is signed in to the Console of a [`TestServer`]: calls its API as a page would.
#[derive(Clone, Debug)]
pub struct TestOperator {
    client: reqwest::Client,
    api: String,
    cookie: String,
}

impl TestOperator {
    /// Makes the first operator by the set-up link.
    pub(crate) async fn first(server: &TestServer) -> Self {
        let link = server
            .console_setup_url()
            .expect("nobody has used the link");
        let (_, token) = link.split_once('#').expect("the token is the fragment");
        let body = json!({
            "token": token, "email": OWNER_EMAIL, "name": "Olga", "password": OWNER_PASSWORD,
        });
        Self::begin(server, "/setup", &body).await
    }

    /// Begins a session by what answers with one: `/session`, `/setup`, `/invitation`.
    pub async fn begin(server: &TestServer, path: &str, body: &Value) -> Self {
        let begun = Self::try_begin(server, path, body).await;
        begun.unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"))
    }

    /// The same, where it may be refused.
    pub async fn try_begin(server: &TestServer, path: &str, body: &Value) -> Result<Self, Refusal> {
        let stranger = Self::stranger(server);
        let response = stranger.request(Method::POST, path).json(body).send().await;
        let response = response.expect("the server answers");
        let status = response.status();
        let cookie = response.headers().get("set-cookie").cloned();
        let body: Value = response.json().await.expect("JSON");
        if !status.is_success() {
            assert!(cookie.is_none(), "a refusal sets no cookie");
            let code = body["code"].as_str().expect("the body has a code");
            return Err(crate::http::refusal(status.as_u16(), code));
        }
        let cookie = cookie.expect("a session sets a cookie");
        let cookie = cookie.to_str().expect("a cookie is text");
        Ok(Self {
            cookie: cookie.split(';').next().unwrap_or_default().to_owned(),
            ..stranger
        })
    }

    /// Signs in with a password.
    pub async fn sign_in(server: &TestServer, email: &str, password: &str) -> Self {
        let body = json!({ "email": email, "password": password });
        Self::begin(server, "/session", &body).await
    }

    /// Somebody who is not signed in.
    pub fn stranger(server: &TestServer) -> Self {
        Self {
            client: client(),
            api: server.url("/console/api"),
            cookie: String::new(),
        }
    }

    /// The same session on a server that has been started again.
    #[must_use]
    pub fn at(&self, server: &TestServer) -> Self {
        Self {
            api: server.url("/console/api"),
            ..self.clone()
        }
    }

    /// What opens the session, `name=value`.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// A request to a path below `/console/api`, as a page of the Console sends it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.api));
        let request = request
            .header("x-hexline-console", "1")
            .header("sec-fetch-site", "same-origin");
        if self.cookie.is_empty() {
            request
        } else {
            request.header("cookie", &self.cookie)
        }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Value {
        answer(path, self.request(Method::GET, path)).await
    }

    /// Makes or does something.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        answer(path, self.request(Method::POST, path).json(body)).await
    }

    /// Replaces something.
    pub async fn put(&self, path: &str, body: &Value) -> Value {
        answer(path, self.request(Method::PUT, path).json(body)).await
    }

    /// Changes something.
    pub async fn patch(&self, path: &str, body: &Value) -> Value {
        answer(path, self.request(Method::PATCH, path).json(body)).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Value {
        answer(path, self.request(Method::DELETE, path)).await
    }

    /// How a read is refused.
    pub async fn get_refused(&self, path: &str) -> Refusal {
        refusal_of(self.request(Method::GET, path)).await
    }

    /// How a call with a body is refused.
    pub async fn refused(&self, method: Method, path: &str, body: &Value) -> Refusal {
        refusal_of(self.request(method, path).json(body)).await
    }

    /// Invites an operator and lets it accept; the invited one, signed in.
    pub async fn invited(
        &self,
        server: &TestServer,
        email: &str,
        role: &str,
        apps: Option<&[&str]>,
    ) -> Self {
        let order = json!({ "email": email, "role": role, "apps": apps });
        let made = self.post("/operators", &order).await;
        let link = made["invitation_url"].as_str().expect("a link").to_owned();
        let (_, token) = link.split_once('#').expect("the token is the fragment");
        let body = json!({ "token": token, "name": email, "password": OWNER_PASSWORD });
        Self::begin(server, "/invitation", &body).await
    }
}

async fn answer(path: &str, request: RequestBuilder) -> Value {
    let response = request.send().await.expect("the server answers");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{path}: {status} {text}");
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// The address of the operator that [`TestServer::operator`] makes.
pub const OWNER_EMAIL: &str = "olga@example.org";

/// The password of every operator that the harness makes.
pub const OWNER_PASSWORD: &str = "correct horse battery staple";
