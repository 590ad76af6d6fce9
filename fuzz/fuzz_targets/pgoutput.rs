#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edgewise_origin::replicate::postgres::decode::fuzz(data));
