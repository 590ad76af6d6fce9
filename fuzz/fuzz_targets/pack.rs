#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edgewise_wire::fuzz::pack(data));
