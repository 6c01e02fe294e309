//! The command line as a person or a script meets it: the real program, run in a directory of its
//! own with a clean environment.
//!
//! To add a behaviour: a test whose name is a sentence, in the file of its command. `program.rs`
//! runs the program; nothing here looks inside it. `documentation.rs` holds the documentation to what
//! the program understands.

mod apps_and_keys;
mod configuration;
mod doctor;
mod documentation;
mod durability;
mod operators;
mod program;
mod serving;
mod shell;
mod tokens;
