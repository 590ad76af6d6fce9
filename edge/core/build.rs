//! Compresses the OpenAPI document: of text that is asked for once in a while, the module
//! carries a quarter.

use std::path::Path;
use std::{env, fs};

fn main() {
    let document = "../../shared/wire/openapi.json";
    println!("cargo::rerun-if-changed={document}");
    println!("cargo::rerun-if-changed=build.rs");
    let text = fs::read(document).expect("shared/wire/openapi.json is there");
    let out = env::var_os("OUT_DIR").expect("cargo says where to build");
    let packed = lz4_flex::block::compress_prepend_size(&text);
    fs::write(Path::new(&out).join("openapi.lz4"), packed).expect("the build folder is writable");
}
