//! Where things are, from the repository's root.

use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root")
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `edge.wasm` as every host loads it.
pub(crate) fn edge_wasm() -> PathBuf {
    root().join("edge/worker/build/edge.wasm")
}

/// The release build of the `edgewise` binary.
pub(crate) fn edgewise() -> PathBuf {
    target().join("release/edgewise")
}

/// A tool of `node_modules/.bin`.
pub(crate) fn node_tool(name: &str) -> PathBuf {
    root().join("node_modules/.bin").join(name)
}
