#![no_main]
//! Model files, with limits on what reading one may take.

mod bounded;

// Beside the input: sets of categories, of which a few bytes name a large one.
libfuzzer_sys::fuzz_target!(|data: &[u8]| bounded::run(data.len(), 8, 4 << 20, || {
    edgewise_wire::fuzz::model_file(data);
}));
