use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hexline_token::jws::sign_unchecked;
use hexline_token::{Algorithm, PrivateKey};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::now;

/// A sign-in provider, for tests: real discovery, real keys, a token endpoint that checks what it
/// gets, and ID tokens that are really signed. It also plays Facebook, GitHub and an app's own
/// sign-in.
pub struct TestProvider {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Well,
    /// It takes requests and says nothing.
    Silent,
    /// It answers with more than anybody wants.
    Huge,
    /// It answers that it is out of order.
    Broken,
    /// Its discovery document names somebody else.
    Lying,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method and path.
    pub line: String,
    /// Headers by lower-case name.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: String,
}

struct State {
    issuer: String,
    key: PrivateKey,
    kid: u32,
    mood: Mood,
    codes: HashMap<String, Code>,
    seen: HashSet<String>,
    received: Vec<Received>,
    answer: (u16, Value),
}

/// What a code stands for.
struct Code {
    challenge: String,
    redirect_uri: String,
    nonce: Option<String>,
}

impl TestProvider {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            issuer: format!("http://{at}"),
            key: new_key(),
            kid: 1,
            mood: Mood::Well,
            codes: HashMap::new(),
            seen: HashSet::new(),
            received: Vec::new(),
            answer: (200, json!({"identity": "alice"})),
        }));
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { at, state, serving }
    }

    /// Its issuer, and the beginning of all its URLs.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Changes how it behaves.
    pub fn mood(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// What the app's own sign-in answers from now on.
    pub fn answers(&self, status: u16, body: Value) {
        self.lock().answer = (status, body);
    }

    /// Changes its key; tokens signed from now on name the new one.
    pub fn rotate(&self) {
        let mut state = self.lock();
        state.key = new_key();
        state.kid += 1;
    }

    /// What it was asked so far.
    pub fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    /// Stops: nobody answers any more.
    pub async fn stop(&self) {
        self.serving.abort();
        // Once nobody accepts, the port is closed.
        while !self.serving.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    /// An ID token for `alice`, with other claims as named; null removes one.
    pub fn id_token(&self, changes: &Value) -> String {
        self.lock().id_token(changes)
    }

    /// A token with this header and these claims, signed with its key.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let key = &self.lock().key;
        sign_unchecked(&header.to_string(), claims.to_string().as_bytes(), key).expect("signs")
    }

    /// The claims of a good ID token.
    pub fn claims(&self) -> Value {
        self.lock().claims().into()
    }

    /// The name of its current key.
    pub fn kid(&self) -> String {
        self.lock().kid.to_string()
    }

    /// A code as its page would give, for a challenge.
    pub fn code(&self, verifier: &str, redirect_uri: &str, nonce: Option<&str>) -> String {
        let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
        self.lock().new_code(Code {
            challenge: BASE64_URL_SAFE_NO_PAD.encode(challenge),
            redirect_uri: redirect_uri.to_owned(),
            nonce: nonce.map(str::to_owned),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TestProvider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn claims(&self) -> Map<String, Value> {
        let claims = json!({
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "alice",
            "iat": now(),
            "exp": now() + 600,
            "jti": format!("{}-{}", self.received.len(), self.seen.len()),
            "email": "Alice@example.org",
            "email_verified": true,
            "name": "Alice",
        });
        claims.as_object().expect("an object").clone()
    }

    fn id_token(&mut self, changes: &Value) -> String {
        // No two of them are the same.
        self.seen.insert(self.seen.len().to_string());
        let mut claims = self.claims();
        for (name, value) in changes.as_object().into_iter().flatten() {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
        let header = json!({"alg": "ES256", "kid": self.kid.to_string()}).to_string();
        let claims = Value::from(claims).to_string();
        sign_unchecked(&header, claims.as_bytes(), &self.key).expect("signs")
    }

    fn new_code(&mut self, code: Code) -> String {
        let name = format!("code-{}", self.codes.len() + self.seen.len());
        self.seen.insert(name.clone());
        self.codes.insert(name.clone(), code);
        name
    }

    /// Status, headers and body of an answer.
    fn answer(&mut self, request: &Received) -> (u16, String, String) {
        let (method, target) = request.line.split_once(' ').unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = form(query);
        let body = form(&request.body);
        let json = |status, body: Value| (status, String::new(), body.to_string());
        let issuer = self.issuer.clone();
        match (method, path) {
            ("GET", "/.well-known/openid-configuration") => json(
                200,
                json!({
                    "issuer": if self.mood == Mood::Lying { "http://127.0.0.1:1" } else { &issuer },
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/jwks"),
                    "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                }),
            ),
            ("GET", "/jwks") => {
                let kid = self.kid.to_string();
                let key = self.key.verifying_key().to_jwk(Some(&kid));
                let body = format!(r#"{{"keys":[{}]}}"#, key.expect("a public key"));
                (200, String::new(), body)
            }
            ("GET", "/authorize" | "/dialog/oauth" | "/login/oauth/authorize") => {
                let get = |name: &str| query.get(name).cloned().unwrap_or_default();
                assert_eq!(get("response_type"), "code");
                assert_eq!(get("client_id"), CLIENT);
                assert_eq!(get("code_challenge_method"), "S256");
                let code = self.new_code(Code {
                    challenge: get("code_challenge"),
                    redirect_uri: get("redirect_uri"),
                    nonce: query.get("nonce").cloned(),
                });
                let back = format!("{}?code={code}&state={}", get("redirect_uri"), get("state"));
                (303, format!("location: {back}\r\n"), String::new())
            }
            ("POST", "/token" | "/oauth/access_token" | "/login/oauth/access_token") => {
                let code = body.get("code").and_then(|code| self.codes.remove(code));
                let secret = body.get("client_secret").map(String::as_str) == Some(SECRET);
                if !secret && !basic(request) {
                    return json(401, json!({"error": "invalid_client"}));
                }
                let verifier = body.get("code_verifier").cloned().unwrap_or_default();
                let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
                let fits = code.as_ref().is_some_and(|code| {
                    code.challenge == BASE64_URL_SAFE_NO_PAD.encode(hash)
                        && body.get("redirect_uri") == Some(&code.redirect_uri)
                });
                let Some(code) = code.filter(|_| fits) else {
                    return json(400, json!({"error": "invalid_grant"}));
                };
                let mut tokens = json!({"access_token": ACCESS, "token_type": "Bearer"});
                if path == "/token" {
                    let half = digest::digest(&digest::SHA256, ACCESS.as_bytes());
                    let half = BASE64_URL_SAFE_NO_PAD.encode(&half.as_ref()[..16]);
                    let token = self.id_token(&json!({"nonce": code.nonce, "at_hash": half}));
                    tokens["id_token"] = token.into();
                }
                json(200, tokens)
            }
            // Facebook.
            ("GET", "/debug_token") => {
                let ours = format!("Bearer {CLIENT}|{SECRET}");
                assert_eq!(request.headers.get("authorization"), Some(&ours));
                json(
                    200,
                    match query.get("input_token").map(String::as_str) {
                        Some(ACCESS) => json!({"data": {"app_id": CLIENT, "is_valid": true,
                            "user_id": "77"}}),
                        Some(STOLEN) => json!({"data": {"app_id": "another", "is_valid": true,
                            "user_id": "77"}}),
                        _ => json!({"data": {"is_valid": false}}),
                    },
                )
            }
            ("GET", "/me") => json(200, json!({"id": "77", "name": "Alice"})),
            // GitHub.
            ("POST", path) if path == format!("/applications/{CLIENT}/token") => {
                assert!(basic(request), "{request:?}");
                let body: Value = serde_json::from_str(&request.body).expect("JSON");
                match body["access_token"].as_str() {
                    Some(ACCESS) => json(
                        200,
                        json!({"app": {"client_id": CLIENT}, "user": {"id": 77, "login": "al"}}),
                    ),
                    _ => json(404, json!({"message": "Not Found"})),
                }
            }
            ("GET", "/user") => json(200, json!({"id": 77, "login": "al", "name": "Alice"})),
            // An app's own sign-in.
            ("POST", "/whoami") => {
                let (status, body) = self.answer.clone();
                json(status, body)
            }
            _ => json(404, json!({"error": "no such path"})),
        }
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    lock().received.push(request.clone());
    let mood = lock().mood;
    let (status, headers, body) = match mood {
        Mood::Silent => {
            // Until whoever asked has given up.
            let _ = stream.read_u8().await;
            return;
        }
        Mood::Huge => (200, String::new(), "x".repeat(1 << 20)),
        Mood::Broken => (503, String::new(), "{}".to_owned()),
        Mood::Well | Mood::Lying => lock().answer(&request),
    };
    let text = format!(
        "HTTP/1.1 {status} X\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).ok()?;
    let mut lines = text.split("\r\n");
    let first = lines.next()?;
    let line = first.rsplit_once(' ')?.0.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .map_or(Some(0), |length| length.parse().ok())?;
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[head + 4..].to_vec()).ok()?;
    Some(Received {
        line,
        headers,
        body,
    })
}

fn basic(request: &Received) -> bool {
    let wanted = format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{CLIENT}:{SECRET}"))
    );
    request.headers.get("authorization") == Some(&wanted)
}

fn form(text: &str) -> HashMap<String, String> {
    let url = format!("http://x/?{text}");
    let url = reqwest::Url::parse(&url).expect("a query");
    url.query_pairs().into_owned().collect()
}

fn new_key() -> PrivateKey {
    PrivateKey::generate(Algorithm::Es256).expect("a key")
}

/// The client id that it knows.
pub const CLIENT: &str = "client-1";
/// The secret that goes with it.
pub const SECRET: &str = "client-secret-7f";
/// An access token that it knows, made for that client.
pub const ACCESS: &str = "access-token-1";
/// One that it made for another client.
pub const STOLEN: &str = "access-token-2";
