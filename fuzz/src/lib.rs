//! Fuzz targets: functions that take any bytes and must come back.
//!
//! `cargo +nightly fuzz run token_parse` (from this folder's parent) drives one with libFuzzer.
//! Where nightly Rust is not to be had, `cargo test -p hexline-token --test it fuzz_smoke` drives
//! the same functions with a corpus and seeded changes; `HEXLINE_FUZZ_ITERATIONS` says how long.
//!
//! A target asserts what must always hold, so that a wrong answer is found like a panic. To add
//! one: a function here, a file in `fuzz_targets/`, a `[[bin]]`, and a stable test that drives it.

pub mod token;
