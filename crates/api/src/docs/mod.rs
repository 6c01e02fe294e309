//! What describes the API: `/openapi.json` and `/openrpc.json`, drawn up in `document.rs` from what
//! the routes say of themselves, with the bounds of `bounds.rs`; `/docs`, a page for people, in `page.rs`.

mod bounds;
pub(crate) mod document;
pub(crate) mod page;
