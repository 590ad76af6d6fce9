//! Builds `edge.wasm`, the Worker's module, the page and the origin.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::paths;
use crate::processes::{run, run_quietly};

/// `edge/worker/build/{edge.wasm, worker.js, worker_bg.wasm}` and `edge/page/dist`.
pub(crate) fn edge() -> Result<()> {
    cargo_wasm("edgewise-edge-core")?;
    cargo_wasm("edgewise-worker")?;
    let out = paths::root().join("edge/worker/build");
    fs::create_dir_all(&out)?;
    let built = paths::target().join("wasm32-unknown-unknown/wasm");
    let wasm = fs::read(built.join("edgewise_edge_core.wasm")).context("edge.wasm is missing")?;
    write_if_changed(&paths::edge_wasm(), &wasm)?;
    let hash: String = Sha256::digest(&wasm)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let module = format!("// SHA-256 of edge.wasm.\nexport default \"{hash}\";\n");
    write_if_changed(&out.join("edge.wasm.sha256.mjs"), module.as_bytes())?;
    bindgen(&built.join("edgewise_worker.wasm"), &out)?;
    page()?;
    // Devices rank with what the edge runs.
    write_if_changed(&paths::root().join("edge/page/dist/edge.wasm"), &wasm)
}

/// The `edgewise` binary, optimised.
pub(crate) fn origin() -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--package", "edgewise-origin"])
        .current_dir(paths::root());
    run("build the origin", &mut cargo)
}

fn cargo_wasm(package: &str) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--profile",
        "wasm",
        "--target",
        "wasm32-unknown-unknown",
        "--lib",
    ]);
    cargo
        .args(["--package", package])
        .current_dir(paths::root());
    run(&format!("build {package} for WASM"), &mut cargo)
}

/// The library behind wasm-bindgen's command line: nothing to install.
fn bindgen(wasm: &std::path::Path, out: &std::path::Path) -> Result<()> {
    let stamp = out.join(".worker-input");
    let input = fs::read(wasm)?;
    if fs::read(&stamp).is_ok_and(|seen| seen == input) {
        return Ok(());
    }
    Bindgen::new()
        .input_path(wasm)
        .out_name("worker")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .generate(out)
        .context("wasm-bindgen failed on the Worker's module")?;
    fs::write(stamp, input)?;
    Ok(())
}

/// Compiles client and page, unless no source changed since.
fn page() -> Result<()> {
    let stamp = paths::root().join("edge/page/dist/.sources");
    let mut hash = Sha256::new();
    for folder in ["edge/client", "edge/page"] {
        hash_sources(&paths::root().join(folder), &mut hash)?;
    }
    let sources = hash.finalize();
    if fs::read(&stamp).is_ok_and(|built| built == sources.as_slice()) {
        return Ok(());
    }
    let mut node = Command::new(paths::node_tool("node"));
    node.arg("edge/page/build.mjs").current_dir(paths::root());
    run_quietly("build the page", &mut node)?;
    Ok(fs::write(stamp, sources)?)
}

/// Hashes names and contents of all files below `folder` but what a build puts there.
fn hash_sources(folder: &std::path::Path, hash: &mut Sha256) -> Result<()> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if !path.ends_with("dist") && !path.ends_with("node_modules") {
                hash_sources(&path, hash)?;
            }
        } else {
            hash.update(path.as_os_str().as_encoded_bytes());
            hash.update(fs::read(&path)?);
        }
    }
    Ok(())
}

/// Keeps the file's time where nothing changed, so that `wrangler dev` does not reload.
fn write_if_changed(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    if !fs::read(path).is_ok_and(|old| old == bytes) {
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
