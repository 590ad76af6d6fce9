//! Where the built parts are.

use std::path::{Path, PathBuf};

/// The repository's root.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lie in the root")
}

/// The `edgewise` binary of the profile that this was built with: `cargo xtask test` and
/// `cargo xtask bench` build it first.
#[must_use]
pub fn edgewise() -> PathBuf {
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    target().join(profile).join("edgewise")
}

/// Where `cargo xtask setup` puts what the distribution does not have or would start by itself.
#[must_use]
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// An installed program: in `PATH`, or else in one of `folders`.
#[must_use]
pub fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(folders.iter().cloned())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target"))
}

/// `edge.wasm` as every host loads it.
#[must_use]
pub fn edge_wasm() -> PathBuf {
    root().join("edge/worker/build/edge.wasm")
}

/// Node, the pinned one.
#[must_use]
pub fn node() -> PathBuf {
    root().join("node_modules/.bin/node")
}

/// Chromium, where there is one.
#[must_use]
pub fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|path| path.exists())
}

/// Folder for screenshots and logs of a test, made.
///
/// # Panics
/// Where it cannot be made.
#[must_use]
pub fn artifacts(test: &str) -> PathBuf {
    let dir = root().join("artifacts").join(test);
    std::fs::create_dir_all(&dir).expect("the artifacts folder can be made");
    dir
}
