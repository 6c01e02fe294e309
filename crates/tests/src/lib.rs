//! The harness of the behaviour tests: a whole server in this process, and clients that speak to
//! it over real sockets only.
//!
//! [`TestServer`] starts a server on a port of its own with a data directory of its own;
//! [`TestApp`] is an app in it with a key, which makes tokens; [`Socket`] is a raw WebSocket that
//! shows what is on the wire; [`TestOperator`] uses the Console; [`Program`] runs the real `hexline` binary.
//!
//! The server's time belongs to the test: it stands still, so that within [`PATIENCE`] no silence
//! grows and no retry comes. `TestServer::advance` lets a span pass at once, which is right if what
//! waits is known to wait already; `advance_until` lets it pass bit by bit until something happens.
//! Only the calendar goes on with the machine's, by which tokens are made.
//!
//! Invariants: a test shares nothing with another; no test sleeps. "Nothing arrives" is shown by a
//! fence: what one sender causes reaches a receiver in order, so whatever has not come before the
//! sender's next message will not come. What does not happen within [`PATIENCE`] fails the test.
//!
//! To add a behaviour: a function whose name is a sentence, in the file of `tests/it/` that its
//! subject names.

pub mod api;
mod app;
mod authenticator;
mod browser;
mod clock;
mod http;
mod one_time_code;
mod operator;
mod platform;
mod program;
mod provider;
mod proxy;
mod receiver;
mod server;
mod sign_in;
mod socket;

use std::time::Duration;

pub use app::{TestApp, now};
pub use authenticator::Authenticator;
pub use browser::{Browser, Tab};
pub use clock::TestClock;
pub use http::{Refusal, claims, client, refusal, refusal_of, upgrade};
pub use one_time_code::one_time_code;
pub use operator::{OWNER_EMAIL, OWNER_PASSWORD, TestOperator};
pub use platform::{TestPlatform, answer};
pub use program::Program;
pub use provider::{ACCESS, CLIENT, Mood, Received, SECRET, STOLEN, TestProvider};
pub use proxy::TcpProxy;
pub use receiver::{WebhookReceiver, WebhookRequest};
pub use server::TestServer;
pub use sign_in::{SignInWorld, refused};
pub use socket::{Push, Socket};

/// How long anything that a test waits for may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: did not happen within {PATIENCE:?}"))
}
