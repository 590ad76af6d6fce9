//! What pure code may depend on, and what edge.wasm may not contain.

use std::collections::BTreeSet;
use std::process::Command;

use edgewise_tests::places;

/// Everything that `shared`, `edge/core`, `edge/proxy` and `edge/wasm` may pull in. Longer is worse.
const ALLOWED: [&str; 30] = [
    "base64",
    "block-buffer",
    "bytemuck",
    "cfg-if",
    "cpufeatures",
    "crypto-common",
    "digest",
    "dlmalloc",
    "edgewise-cache",
    "edgewise-edge-core",
    "edgewise-edge-proxy",
    "edgewise-edge-wasm",
    "edgewise-ranking",
    "edgewise-serving",
    "edgewise-wire",
    "generic-array",
    "hmac",
    "itoa",
    "libm",
    "lz4_flex",
    "memchr",
    "ryu",
    "serde",
    "serde_core",
    "serde_json",
    "sha2",
    "subtle",
    "typenum",
    "xxhash-rust",
    "zmij",
];

/// Build-time only: they leave nothing in the binary.
const BUILD_TIME: [&str; 9] = [
    "proc-macro2",
    "quote",
    "serde_derive",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
    "version_check",
    "autocfg",
];

#[test]
fn pure_code_depends_on_a_short_list() {
    let output = Command::new("cargo")
        .args([
            "tree",
            "--package",
            "edgewise-edge-wasm",
            "--package",
            "edgewise-edge-proxy",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .args([
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--offline",
        ])
        .current_dir(places::root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).expect("cargo prints text");
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains("edgewise-ranking"), "not a tree: {tree}");
    let strangers: Vec<&&str> = names
        .iter()
        .filter(|name| !ALLOWED.contains(name) && !BUILD_TIME.contains(name))
        .collect();
    assert!(strangers.is_empty(), "not on the allow-list: {strangers:?}");
}

#[test]
fn pure_crates_are_no_std() {
    for room in [
        "shared/ranking",
        "shared/cache",
        "shared/wire",
        "shared/serving",
        "edge/core",
        "edge/proxy",
        "edge/wasm",
    ] {
        let path = places::root().join(room).join("src/lib.rs");
        let text = std::fs::read_to_string(path).expect("the room has a lib.rs");
        assert!(text.contains("no_std"), "{room} must be no_std");
    }
}

#[test]
fn wrangler_toml_names_no_account() {
    let text =
        std::fs::read_to_string(places::root().join("wrangler.toml")).expect("wrangler.toml");
    for forbidden in ["account_id", "\nid =", "zone_id", "preview_id"] {
        assert!(!text.contains(forbidden), "{forbidden} in wrangler.toml");
    }
    for environment in ["env.staging", "env.production"] {
        assert!(text.contains(environment), "{environment} is missing");
    }
}
