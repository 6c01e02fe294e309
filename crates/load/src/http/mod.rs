//! `POST /token` under load, and a bare handler of the same HTTP library beside it.

pub(crate) mod bare;
pub(crate) mod compare;
mod keep_alive;
pub(crate) mod token;
