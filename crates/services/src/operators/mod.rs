//! The people who sign in to the Console: who they are, what they may do, how they prove it.
//!
//! **What.** An operator is an owner (everything), an admin (writes in its apps) or a viewer
//! (reads). The first one is made by a link that the server prints at its start; the others are
//! invited by a link of their own. Signing in makes a session, which a cookie opens.
//!
//! **Methods.** [`OperatorService`]: set up, sign in, sessions, invite, update, remove. It knows no
//! HTTP; cookies and headers are the Console's affair.
//!
//! **Invariants.**
//! * Of passwords there is only argon2id, of random tokens only SHA-256, in the database and in
//!   memory.
//! * A failed sign-in tells nothing about the account: an unknown one costs the same work, waits in
//!   the same queue and is counted in the same way, from whatever address.
//! * Neither guesses nor a flood from elsewhere keep an operator at a familiar address out.
//! * Who changes credentials has given the password or a passkey a short time ago: what a session
//!   opens ends with it.
//! * Attempts are counted before they are known to be good, so that many at once are many.
//! * There always is an owner who can sign in, once there was one. Changes of who may do
//!   everything take turns across processes.
//! * What changes a password ends the sessions that the old one opened.
//!
//! **To add** something to remember: a method on the trait in `store.rs` with its promise, both
//! migrations and the SQL in the store crate, a case in its shared suite; then a rule in
//! `service.rs`. A new error: a variant, and its word in `error.rs`.

mod confirmation;
mod error;
mod familiar;
mod hasher;
mod onetime;
mod operator;
mod passkey;
mod password;
mod second_factor;
mod service;
mod session;
mod setup;
mod store;
mod throttle;
mod totp;
mod vault;
mod webauthn;

pub use confirmation::Proof;
pub use error::OperatorError;
pub use familiar::AddressHash;
pub use onetime::TokenHash;
pub use operator::{Email, EmailError, Operator, PersonName, PersonNameError, Role};
pub use passkey::{Challenge, Passkey};
pub use password::{Password, PasswordHash};
pub use second_factor::TotpOffer;
pub use service::{Credentials, INVITATION_LIFE, NewSession, OperatorChanges, OperatorService};
pub use session::{CONFIRMED_FOR, ConsoleSession, IDLE, LONGEST, Origin, SignedIn};
pub use store::{
    AttemptStore, ConsoleSessionStore, Invitation, OperatorStore, OperatorStores, PasskeyStore,
    SecretVault,
};
pub use webauthn::{Assertion, Registration, RelyingParty};
