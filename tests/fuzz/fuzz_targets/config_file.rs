#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| tests::fuzz::read("config_file", input));
