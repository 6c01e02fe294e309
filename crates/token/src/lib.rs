//! Access tokens: build, verify and explain them.
//!
//! An app's own server signs a small JWT that says who a user is, on which device, and what they
//! may use; everything else in Hexline follows from it. docs/tokens.md describes the claims, the
//! checks and the reasons of refusal.
//!
//! * [`TokenBuilder`] makes tokens, byte for byte like every other language's builder.
//! * [`verify`] checks them against a [`Registry`] of keys; [`explain`] shows each check.
//! * [`UnverifiedToken`] reads one without believing it.
//! * [`PrivateKey`], [`VerifyingKey`] and [`KeySet`] are keys, validated when they are made.
//! * [`Permissions`] answer what a verified token may do.
//! * [`jws`] checks signatures alone.
//! * [`webhook`] signs what a server tells an app, and checks it for the app's server.
//!
//! Invariants: no I/O, no async, no global state; time is an argument (only
//! [`TokenBuilder::build`] asks the machine). What is signed is never looked at before the
//! signature is checked, but for its form and for the names of the key and the algorithm. Every
//! parser here takes any bytes without panicking. No message holds a token, a secret, or the
//! content of `sub`.
//!
//! To add a check: a function in `verifier.rs`, its call in [`verify`] and in `explain.rs`, a row
//! in docs/tokens.md and cases in `vectors/`. To add a claim: a member in `unverified.rs`, a field
//! of [`Claims`], and in the builder its place in the one order.

mod access;
mod algorithm;
mod audience;
mod base64url;
mod builder;
mod claims;
mod compact;
mod error;
mod explain;
mod grants;
mod json;
pub mod jws;
mod key;
mod registry;
mod unverified;
mod verifier;
pub mod webhook;

pub use access::Access;
pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use audience::Audiences;
pub use builder::{BuildError, TokenBuilder};
pub use claims::{Claims, MOST_SOURCES, Source, jti_fits};
pub use error::{Reason, Rejection};
pub use explain::{Check, Explanation, Outcome, explain, explain_offline};
pub use grants::{
    ChatGrant, Grants, GrantsError, MediaKind, Pattern, Permissions, PlatformArea, PlatformGrant,
    SignalGrant, VideoGrant,
};
pub use hexline_model::Service;
pub use json::{Json, JsonError};
pub use key::{KeySet, KeyValidationError, PrivateKey, VerifyingKey};
pub use registry::{
    KeyEntry, KeyStatus, Registry, RevocationScope, RevokedBy, Rules, SingleKey, SingleKeyEntry,
    kid_fits,
};
pub use unverified::UnverifiedToken;
pub use verifier::{Verified, verify};
