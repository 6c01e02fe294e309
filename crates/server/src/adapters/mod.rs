//! Where the server reaches out to things that are not ours.
//!
//! `jwks.rs` fetches key sets from the URLs that operators entered. `tls.rs` reads certificate
//! files. `webhooks/` tells apps what happened. To add one: a file named after what it reaches, its failures turned into our errors.
//! files. `outbound.rs` asks sign-in providers, under limits. To add one: a file named after what it reaches, its failures turned into our errors.

pub(crate) mod jwks;
pub(crate) mod outbound;
pub(crate) mod tls;
pub(crate) mod webhooks;
