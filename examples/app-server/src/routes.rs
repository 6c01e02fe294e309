use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hexline_token::TokenBuilder;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::sessions::Sessions;
use crate::users::Users;

/// What the handlers share.
pub(crate) struct AppServer {
    pub(crate) users: Users,
    pub(crate) sessions: Sessions,
    pub(crate) key_id: String,
    pub(crate) key_secret: String,
    /// Where Hexline is.
    pub(crate) hexline: String,
}

pub(crate) fn router(server: Arc<AppServer>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/app.js", get(script))
        .route("/app.css", get(style))
        .route("/session", post(sign_in).get(who).delete(sign_out))
        .route("/token", post(token))
        .with_state(server)
}

/// A token for the user who is signed in, and where it is good for a WebSocket.
///
/// This is what Hexline adds to an app's server. `POST`, so that nothing but the page's own script
/// has a token made. The identity comes from the session, never from the request.
async fn token(State(server): State<Arc<AppServer>>, headers: HeaderMap) -> Response {
    let Some(user) = server.sessions.user(&headers) else {
        return refused(StatusCode::UNAUTHORIZED, "nobody is signed in");
    };
    let device = "web";
    match server.token_for(&user, device) {
        Ok(token) => {
            let body = Json(json!({ "token": token, "socket": server.socket() }));
            ([(CACHE_CONTROL, "no-store")], body).into_response()
        }
        Err(error) => {
            eprintln!("cannot make a token: {error}");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "no token can be made")
        }
    }
}

impl AppServer {
    /// Says who the user is, on which device, and what they may use. Five minutes are enough: the
    /// page fetches another one when it has to connect again.
    pub(crate) fn token_for(&self, user: &str, device: &str) -> anyhow::Result<String> {
        let profile = json!({ "name": self.users.display_name(user) });
        let token = TokenBuilder::create()
            .key(&self.key_id, self.key_secret.as_str())
            .access("client")
            .api(&self.hexline)
            .identity(user)
            .device(device)
            .grant("signal", true)
            .profile(profile)
            .ttl(300)
            .build()?;
        Ok(token)
    }

    fn socket(&self) -> String {
        let base = self.hexline.trim_end_matches('/').replacen("http", "ws", 1);
        format!("{base}/client/signal/v1/pubsub")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    user: String,
    password: String,
}

#[derive(Serialize)]
struct SignedIn {
    user: String,
    name: String,
}

/// The app's own sign-in, as it was before Hexline.
async fn sign_in(
    State(server): State<Arc<AppServer>>,
    Json(Credentials { user, password }): Json<Credentials>,
) -> Response {
    let checking = {
        let (server, user) = (Arc::clone(&server), user.clone());
        tokio::task::spawn_blocking(move || server.users.verify(&user, &password))
    };
    if !checking.await.unwrap_or(false) {
        return refused(StatusCode::UNAUTHORIZED, "name or password is wrong");
    }
    match server.sessions.open(&user) {
        Ok(cookie) => ([(SET_COOKIE, cookie)], signed_in(&server, user)).into_response(),
        Err(error) => {
            eprintln!("cannot open a session: {error}");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "nobody can sign in")
        }
    }
}

async fn who(State(server): State<Arc<AppServer>>, headers: HeaderMap) -> Response {
    match server.sessions.user(&headers) {
        Some(user) => signed_in(&server, user).into_response(),
        None => refused(StatusCode::UNAUTHORIZED, "nobody is signed in"),
    }
}

async fn sign_out(State(server): State<Arc<AppServer>>, headers: HeaderMap) -> Response {
    let cookie = server.sessions.close(&headers);
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response()
}

fn signed_in(server: &AppServer, user: String) -> Json<SignedIn> {
    let name = server.users.display_name(&user).to_owned();
    Json(SignedIn { user, name })
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

async fn page(State(server): State<Arc<AppServer>>) -> Response {
    let socket = server.socket();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src \
         'self' {}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        socket.split('/').take(3).collect::<Vec<_>>().join("/")
    );
    let mut page = file("text/html", include_str!("../page/index.html"));
    if let Ok(policy) = policy.parse() {
        page.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    page
}

async fn script() -> Response {
    file("text/javascript", include_str!("../page/app.js"))
}

async fn style() -> Response {
    file("text/css", include_str!("../page/app.css"))
}

fn file(kind: &str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, format!("{kind}; charset=utf-8"))], text).into_response()
}
