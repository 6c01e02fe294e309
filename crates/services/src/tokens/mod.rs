//! Access tokens that the server itself makes: for apps without a server of their own, and for
//! app servers that would rather ask than sign.
//!
//! **Methods.** [`TokenService::mint`] makes a client token, [`TokenService::exchange`] a narrower
//! one in the place of a client token that stands.
//!
//! **Invariants.**
//! * A token is signed by an HMAC key of the app that it is for, and by no other.
//! * Nobody gets more than they may hand out: grants stay within the caller's allowance, an
//!   exchanged token within what the first one really gives, and lives no longer.
//! * A token never outlives the key of the caller who ordered it; an exchanged one ends with whatever ends
//!   those that it was exchanged for.
//! * Only what an app's settings allow is made: a token from here passes the door.
//!
//! **To add** another way to a token: a method here that ends in `sign`, and its errors in
//! `error.rs`.

mod error;
mod service;

pub use error::TokenError;
pub use service::{Minted, Narrower, Order, Signer, TokenService};
