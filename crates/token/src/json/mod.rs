//! Strict JSON, in and out.
//!
//! [`Reader`] reads RFC 8259 text in one pass and refuses what two readers could understand
//! differently: duplicate members (compared after unescaping, at every depth), lone surrogates,
//! more than 16 levels, anything after the value. General-purpose readers accept duplicates, and
//! "which of the two" is how a checked value and a used value come apart.
//!
//! [`Json`] is a value that keeps its members' order; it writes itself byte for byte as every
//! other language's token builder does (docs/tokens.md, "Byte identity").
//!
//! To read a new member somewhere: one more arm in the closure given to [`Reader::object`].

mod number;
mod reader;
mod value;

pub(crate) use number::parse_number;
pub(crate) use reader::{Flaw, Kind, Reader};
pub use value::{Json, JsonError};
pub(crate) use value::{write_escaped, write_string};
