use hexline_token::TokenBuilder;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::app::TestApp;
use crate::http::client;

/// An app's server, as it calls the platform API with one token.
pub struct TestPlatform {
    base: String,
    token: String,
}

impl TestApp {
    /// The app's server with a token that may do everything.
    pub fn platform(&self) -> TestPlatform {
        self.platform_with(&self.platform_token())
    }

    /// The app's server with a token for parts of the API alone.
    pub fn platform_for(&self, areas: &[&str]) -> TestPlatform {
        let granted = areas
            .iter()
            .map(|area| ((*area).to_owned(), Value::Bool(true)));
        let granted = Value::Object(granted.collect());
        let token = TokenBuilder::create()
            .key(self.key_id(), self.secret())
            .access("platform")
            .api(self.base())
            .grant("platform", granted)
            .build();
        self.platform_with(&token.expect("all is set"))
    }

    /// The app's server with this token.
    pub fn platform_with(&self, token: &str) -> TestPlatform {
        TestPlatform {
            base: format!("http://{}/platform/v1", self.address()),
            token: token.to_owned(),
        }
    }
}

impl TestPlatform {
    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        client().request(method, url).bearer_auth(&self.token)
    }

    /// A POST with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// The JSON that a POST is answered with.
    pub async fn posted(&self, path: &str, body: &Value) -> Value {
        answer(self.post(path, body)).await.1
    }

    /// The JSON that a GET is answered with.
    pub async fn got(&self, path: &str) -> Value {
        answer(self.request(Method::GET, path)).await.1
    }

    /// Every item of a list, page by page, and how many pages it took.
    pub async fn all(&self, path: &str, limit: usize) -> (Vec<Value>, usize) {
        let (mut items, mut pages) = (Vec::new(), 0);
        let mut cursor = String::new();
        loop {
            let more = if path.contains('?') { '&' } else { '?' };
            let page = self
                .got(&format!("{path}{more}limit={limit}{cursor}"))
                .await;
            let found = page["items"].as_array().expect("items");
            assert!(found.len() <= limit, "{page}");
            items.extend(found.iter().cloned());
            pages += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return (items, pages),
            }
        }
    }
}

/// A successful answer: its head and its JSON.
pub async fn answer(request: RequestBuilder) -> (HeaderMap, Value) {
    let response: Response = request.send().await.expect("the server answers");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a body");
    assert!(status.is_success(), "{status}: {text}");
    (headers, serde_json::from_str(&text).expect("JSON"))
}
