//! Gives libFuzzer's inputs to the target in `tests/src/fuzz`.
#![no_main]

#[global_allocator]
static ALLOCATOR: gavel_tests::fuzz::Counted = gavel_tests::fuzz::Counted;

libfuzzer_sys::fuzz_target!(|input: &[u8]| gavel_tests::fuzz::run("session", input));
