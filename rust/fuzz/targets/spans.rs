#![no_main]

#[path = "../../bayesrca-core/tests/laws/mod.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::spans(data));
