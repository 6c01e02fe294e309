//! What the doors have in common: who calls (`authenticator.rs`), what a body, a query, a page and a
//! refusal look like, and what stands around every request (`frame.rs`, `entrance.rs`).

pub(crate) mod authenticator;
pub(crate) mod body;
pub(crate) mod client_caller;
pub(crate) mod described;
mod entrance;
pub(crate) mod error;
pub(crate) mod frame;
pub(crate) mod json;
pub(crate) mod paging;
pub(crate) mod request_id;
pub(crate) mod token_refusal;
pub(crate) mod trace;
pub(crate) mod webhooks;
