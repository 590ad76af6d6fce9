#![no_main]
//! Candidate bundles, with limits on what reading one may take.

mod bounded;

// LZ4 makes 255 bytes of one, and a byte of a constant column names one a row; a payload is at
// most 8 MiB.
libfuzzer_sys::fuzz_target!(|data: &[u8]| bounded::run(data.len(), 8_192, 96 << 20, || {
    edgewise_wire::fuzz::bundle(data);
}));
