//! Where the server reaches out to things that are not ours.
//!
//! `jwks.rs` fetches key sets from the URLs that operators entered, `outbound.rs` asks sign-in
//! providers, `webhooks/` tells apps what happened. All three send by `guarded.rs`, which decides
//! where requests may go. `tls.rs` reads certificate files, `store_probe.rs` asks the database how it is.
//!
//! To add one: a file named after what it reaches, its failures turned into our errors. What sends
//! to a URL that somebody gave us sends by `guarded.rs`.

pub(crate) mod guarded;
pub(crate) mod jwks;
pub(crate) mod outbound;
pub(crate) mod store_probe;
pub(crate) mod tls;
pub(crate) mod webhooks;
