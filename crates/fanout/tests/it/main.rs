//! What fan-out promises, as tests.

mod delivery;
mod history;
mod kit;
mod listing;
mod presence;
