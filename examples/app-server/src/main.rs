//! An app's own server, with users and a sign-in of its own, that lets its users into Hexline.
//!
//! What every app has already stands in `users.rs` and `sessions.rs`: a user table and session
//! cookies. What Hexline adds is one route, `token` in `routes.rs`: it knows who is signed in and
//! signs a token for them. The key never leaves this process; the page gets tokens only.
//!
//! README.md walks through it in six steps.

mod routes;
mod sessions;
mod users;

use std::env;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use routes::{AppServer, router};
use sessions::Sessions;
use users::Users;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let setting = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let server = AppServer {
        users: Users::sample()?,
        sessions: Sessions::default(),
        key_id: setting("HEXLINE_KEY_ID")?,
        key_secret: setting("HEXLINE_KEY_SECRET")?,
        hexline: env::var("HEXLINE_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned()),
    };
    // A key that cannot sign is better found now than by the first user.
    server.token_for("nobody", "none")?;
    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, router(Arc::new(server)))
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}
