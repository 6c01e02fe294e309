//! Keys: parsed and validated once, when they are made; never again for each token.
//!
//! A [`VerifyingKey`] or [`PrivateKey`] that exists has passed every rule here: HMAC secrets of
//! at least 256 bits (in a JWK: as long as the hash, RFC 7518 §3.2), RSA moduli of 2048 to 8192 bits
//! without known weakness and with an odd exponent from 65537 to 33 bits, points that are on their curve (and of no small order), a JWK whose `kty`, `crv`, `alg`, `use`
//! and `key_ops` agree with each other and with signing. Each is made for exactly one
//! [`Algorithm`](crate::Algorithm), so a header can never choose how a key is used.
//!
//! Invariants: key material never prints; all cryptography is aws-lc's.
//!
//! To add an algorithm: a variant in `algorithm.rs`, then follow the compiler; a row in
//! docs/tokens.md, cases in `vectors/`.

mod der;
mod edwards;
mod error;
mod jwk;
mod pem;
mod private;
mod roca;
mod set;
mod verifying;

pub use error::KeyValidationError;
pub use private::PrivateKey;
pub use set::KeySet;
pub use verifying::VerifyingKey;
