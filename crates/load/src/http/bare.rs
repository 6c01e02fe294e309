use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::args::Bare;
use crate::stop::Stop;

/// Serves until stopped. Its first line on standard output is `{"ready":true,"url":…,"pid":…}`.
pub(crate) async fn run(args: Bare, stop: Stop) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/token", listener.local_addr()?);
    println!(
        "{}",
        json!({"ready": true, "url": url, "pid": std::process::id()})
    );
    let until = async move {
        if args.until_stdin_closes {
            let mut rest = [0; 64];
            let mut stdin = tokio::io::stdin();
            while stdin.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        } else {
            stop.wait().await;
        }
    };
    tokio::select! {
        served = serve(listener, app(args.body_bytes as usize)) => served,
        () = until => Ok(()),
    }
}

/// An accept loop of the same shape as the server's, with the same options of the HTTP library, and
/// without anything around it.
pub(crate) async fn serve(listener: TcpListener, app: Router) -> anyhow::Result<()> {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(32 << 10);
    let http = Arc::new(http);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (http, service) = (Arc::clone(&http), TowerToHyperService::new(app.clone()));
        tokio::spawn(async move {
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // How it ends matters to nobody here.
            let _ = connection.with_upgrades().await;
        });
    }
}

/// What `POST /token` costs at the least: the form read, a JSON object of the same size written.
pub(crate) fn app(body_bytes: usize) -> Router {
    let token = "x".repeat(body_bytes.saturating_sub(r#"{"token":""}"#.len()));
    Router::new()
        .route("/token", post(answer))
        .with_state(token.leak())
}

async fn answer(State(token): State<&'static str>, form: Form<Wanted>) -> impl IntoResponse {
    #[derive(Serialize)]
    struct Token {
        token: &'static str,
    }
    let wanted = form.0;
    let named = !wanted.identity.is_empty() && !wanted.device.is_empty();
    let token = if named { token } else { "" };
    ([(CONTENT_TYPE, "application/json")], Json(Token { token }))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    identity: String,
    device: String,
}
