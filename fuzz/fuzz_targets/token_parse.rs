#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hexline_fuzz::token::parse(data));
