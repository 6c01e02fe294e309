//! The Auth Service: access tokens for apps without a server of their own, or with a sign-in that
//! exists already.
//!
//! **What.** An app switches strategies on ([`SignIn`]): `anonymous`, providers (OpenID Connect;
//! Facebook and GitHub by OAuth 2), `external` (its own sign-in is asked). Each ends with an access
//! token for an identity that the strategy makes, and with a refresh token.
//!
//! **Methods.** [`AuthService::anonymous`], [`provider`](AuthService::provider) with a [`Proof`],
//! [`external`](AuthService::external), [`authorize`](AuthService::authorize) and
//! [`arrive`](AuthService::arrive) for a browser that is sent to a provider and back,
//! [`refresh`](AuthService::refresh), [`revoke`](AuthService::revoke), and the settings.
//!
//! **Events.** [`Gone`]: a user without a name is no more; who keeps something of them removes it.
//!
//! **Invariants.**
//! * An ID token counts only if it is signed by an asymmetric key that the provider publishes, for
//!   this app's client, with the nonce of this sign-in, now, and for the first time.
//! * Two strategies never make the same identity, unless the settings say that they may.
//! * Codes, states and refresh tokens are stored as hashes, good once, and taken by one statement.
//! * Nobody outside is asked but through [`Outbound`], under its limits; who waits for a slow
//!   provider holds up only users of the same one.
//!
//! **To add** a provider: a variant of [`Preset`] and what the compiler then asks for. A strategy: a
//! method that ends in `finish`, and its settings.

mod error;
mod external;
mod flow;
mod id_token;
mod outbound;
mod provider;
mod redirect;
mod refresh;
mod service;
mod settings;
mod sign_in;
mod social;
mod store;
mod template;

pub use error::AuthError;
pub use external::Credentials;
pub use flow::{Arrival, Authorize, Departure};
pub use outbound::{Answer, Body, MAX_ANSWER, Outbound, OutboundError, PATIENCE, Request};
pub use service::{AuthOptions, AuthService, Gone, NewSettings, SignedIn};
pub use settings::{
    ANONYMOUS, ANONYMOUS_PREFIX, Anonymous, EXTERNAL, External, Preset, Provider, Refresh,
    SettingsError, SignIn, everything,
};
pub use sign_in::Proof;
pub use store::{AuthStore, Family, OnceKind};
pub use template::{Claim, IdentityTemplate};
