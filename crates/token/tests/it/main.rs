//! What the crate promises, from outside: the vectors, the RFCs, another library, and properties.

#[path = "../../../../fuzz/src/token.rs"]
#[expect(
    unreachable_pub,
    reason = "the targets are public in the crate that they belong to"
)]
mod fuzz_targets;

#[path = "../../examples/vectors/build.rs"]
mod build;
#[path = "../../examples/vectors/cases.rs"]
mod cases;
#[path = "../../examples/vectors/check.rs"]
mod check;
#[path = "../../examples/vectors/keys.rs"]
mod keys;
#[path = "../../examples/vectors/validate.rs"]
mod validate;
#[path = "../../examples/vectors/verify/mod.rs"]
mod verify;
#[path = "../../examples/vectors/webhooks.rs"]
mod webhook_cases;

mod differential;
mod explaining;
mod foreign;
mod fuzz_smoke;
mod key_files;
mod messages;
mod properties;
mod rfc;
mod vectors;
mod webhooks;
