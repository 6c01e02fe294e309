//! Webhooks: what a Hexline server tells an app's server, and how that one knows that it is true.
//!
//! Each request carries `Authorization: Bearer <token>`. The token is signed with a key of the app,
//! so nothing more has to be agreed on, and binds the very bytes of the body by their SHA-256. It
//! is good for five minutes. Its header has a `typ` of its own, so it is never taken for a token that
//! opens a door, nor one of those for it. docs/webhooks.md has all of it.
//!
//! ```
//! use hexline_model::Timestamp;
//! use hexline_token::webhook::{self, EventKind, Happening, Keys};
//! # use hexline_token::{Algorithm, PrivateKey};
//! # let secret = "aL3KoFV1mbzPqPhpjbsFYk5VFLkQwtnqkXG0eLPiTAM";
//! # let key = PrivateKey::hmac(Algorithm::Hs256, secret.as_bytes())?;
//! # let id = "b234fdb83571400f9b62e204d735126e";
//! # let now = Timestamp::from_secs(1_490_479_600);
//! # let body = br#"{"id":"e1","type":"user.online","app":"a1","at_ms":1490479599000,"data":{"identity":"alice"}}"#;
//! # let signer = webhook::Signer { key_id: id, key: &key, audience: "https://example.com/hook", token_id: "j1" };
//! # let authorization = signer.sign(body, now).expect("signs");
//! // On the receiving end: the header, the body as it came, the app's keys.
//! let keys = Keys::new().key(id, secret)?;
//! let delivery = webhook::verify(&authorization, body, &keys, now)?;
//! // Refuse a `token_id` that was seen in the last five minutes, pass over an `event.id` that was
//! // dealt with, and be sure that it was meant for here.
//! assert_eq!(delivery.token_id, "j1");
//! assert_eq!(delivery.audience, "https://example.com/hook");
//! assert_eq!(delivery.event.kind(), Some(EventKind::UserOnline));
//! assert_eq!(delivery.event.happening(), Some(Happening::UserOnline { identity: "alice".into() }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To add an event: a variant of [`Happening`] and of [`EventKind`], a row in docs/webhooks.md.

mod event;
mod kind;
mod signature;

pub use event::{Event, Happening};
pub use kind::{EventKind, UnknownEvent};
pub use signature::{Delivery, Keys, LIFETIME_S, MEDIA_TYPE, Signer, WebhookError, verify};
