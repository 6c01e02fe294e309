//! An async client for the Hexline gateway: JSON-RPC 2.0 over a WebSocket, opened with nothing
//! but a token.
//!
//! ```no_run
//! use hexline_client::{Client, ConnectOptions, Event};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let token = std::env::var("TOKEN")?;
//! let (client, mut events) = Client::connect(ConnectOptions::new(token)).await?;
//!
//! client.join("news", true).await?;
//! let delivered = client.send("bob", serde_json::json!({"text": "hello"})).await?;
//! println!("delivered to {delivered} connections");
//!
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Push(push) => println!("{} {}", push.method, push.params),
//!         Event::Closed(closed) => println!("closed: {}", closed.reason),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] is one connection; [`Reconnecting`] keeps one open with new tokens and joins its
//! channels again. The URL follows from the token's `aud`; [`ConnectOptions`] sets another, the
//! way the token is handed over, trusted certificates and limits.
//!
//! Invariants: the token and the URL's query are in no error and no `Debug` output; nothing that
//! a server sends makes this crate panic or its memory grow without bound; events come in the
//! order in which the server sent them.
//!
//! To add a convenience for a method: a `fn` on [`Client`] over [`Client::call`], and a test in
//! `tests/it`. To add an event: a variant of [`Event`].

mod client;
mod connection;
mod endpoint;
mod error;
mod event;
mod options;
mod reconnect;
mod tls;
mod upgrade;

pub use client::Client;
pub use endpoint::Endpoint;
pub use error::{CallError, ConnectError};
pub use event::{Closed, Event, Events, FailedAttempt, Push};
pub use options::{Auth, ConnectOptions};
pub use reconnect::{Backoff, Reconnecting};
pub use upgrade::upgrade;
