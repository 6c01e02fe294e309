//! What administrators ask for, and the socket by which they ask a running server.
//!
//! A [`Command`] is carried out by [`Desk::execute`] and nowhere else: a running server does so
//! for the control socket, the command line for a data directory that no server holds. So
//! `hexline key revoke` means the same in both cases, and in a running server it acts on live
//! connections at once.
//!
//! On the socket, one line of JSON is a command and one line of JSON is its [`Outcome`]. Lines
//! are bounded in size, connections in number and time.
//!
//! Invariants: the socket is for the server's own user and root: mode 0600, and the peer's user
//! is asked of the kernel. A secret travels only in the answer to the command that made it.
//!
//! To add a command: a variant of [`Command`], its arm in [`Desk::execute`], a variant of
//! [`Answer`] if no existing one fits, and its face in `cli`.

mod command;
mod desk;
mod note;
mod operators;
mod socket;
#[cfg(test)]
mod tests;
mod view;

pub use command::{
    AppChanges, Command, Failure, FailureKind, ImportedKey, KeyOptions, Outcome, TokenScope, Who,
};
pub use desk::Desk;
pub use operators::{OperatorCommand, OperatorLinkView, OperatorView};
pub use socket::{CallError, ControlSocket, call, serve};
pub use view::{
    Answer, AppView, DisconnectedView, HoldView, KeyView, LiftedView, NewKeyView, RevokedKeyView,
    RevokedView, RotatedView, StatusView,
};
