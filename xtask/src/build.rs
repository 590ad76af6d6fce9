//! Builds `edge.wasm`, `proxy.wasm`, the Worker's module, the page and the origin.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::paths;
use crate::processes::{run, run_quietly};

/// Bytes that `edge.wasm` has, and compressed, as platforms count a Worker's size.
///
/// A ratchet: the check fails where the module outgrows them by 2 %; lower them where it shrinks.
/// They are not the bar, which is 250,000 bytes and 95,000 in gzip (an isolate that starts
/// compiles them all). The module is over it, and `cargo xtask bench` says by how much.
const EDGE_WASM_BYTES: usize = 515_200;
const EDGE_WASM_GZIP_BYTES: usize = 229_400;
/// What is inlined into its callers when all crates are optimised as one: with the default (225)
/// edge.wasm is 28 KB larger and no faster.
const INLINE_THRESHOLD: &str = "llvm-args=-inline-threshold=50";
/// What the module may grow by, percent.
const GROWTH_MAX_PERCENT: usize = 2;

/// The features that the compiler used are in the module (`target_features`), which `wasm-opt`
/// reads and then drops with the names.
const WASM_OPT: [&str; 4] = [
    "-Oz",
    "--strip-debug",
    "--strip-producers",
    "--strip-target-features",
];

/// How large `edge.wasm` is.
pub(crate) struct Size {
    bytes: usize,
    gzip_bytes: usize,
}

impl Size {
    fn of(wasm: &[u8]) -> Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(wasm)?;
        let (bytes, gzip_bytes) = (wasm.len(), gzip.finish()?.len());
        Ok(Self { bytes, gzip_bytes })
    }

    /// An error where `edge.wasm`, as it was built, outgrows what it was.
    pub(crate) fn check() -> Result<()> {
        let size = Self::of(&fs::read(paths::edge_wasm())?)?;
        let most = |bytes: usize| bytes + bytes * GROWTH_MAX_PERCENT / 100;
        let (bytes, gzip_bytes) = (most(EDGE_WASM_BYTES), most(EDGE_WASM_GZIP_BYTES));
        if size.bytes > bytes || size.gzip_bytes > gzip_bytes {
            bail!(
                "{size}: at most {bytes} bytes and {gzip_bytes} in gzip ({GROWTH_MAX_PERCENT} % over what it was)"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, gzip_bytes } = self;
        write!(out, "edge.wasm has {bytes} bytes, {gzip_bytes} in gzip")
    }
}

/// `edge/worker/build/{edge.wasm, proxy.wasm, worker.js, worker_bg.wasm}` and `edge/page/dist`.
pub(crate) fn edge() -> Result<()> {
    cargo_wasm("edgewise-edge-wasm")?;
    cargo_wasm("edgewise-edge-proxy")?;
    cargo_wasm("edgewise-worker")?;
    let out = paths::root().join("edge/worker/build");
    fs::create_dir_all(&out)?;
    let built = paths::target().join("wasm32-unknown-unknown/wasm");
    let wasm = shrink(&built.join("edgewise_edge_wasm.wasm"))?;
    write_if_changed(&paths::edge_wasm(), &wasm)?;
    eprintln!("build: {}", Size::of(&wasm)?);
    let hash: String = Sha256::digest(&wasm)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let module = format!("// SHA-256 of edge.wasm.\nexport default \"{hash}\";\n");
    write_if_changed(&out.join("edge.wasm.sha256.mjs"), module.as_bytes())?;
    let proxy = shrink(&built.join("edgewise_edge_proxy.wasm"))?;
    write_if_changed(&out.join("proxy.wasm"), &proxy)?;
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

/// A library as a module. The crate type is given here and not in its manifest: a native build
/// has no use for it, and cargo ignores the profile's `lto` where a library is asked for, too.
pub(crate) fn cargo_wasm(package: &str) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "rustc",
        "--profile",
        "wasm",
        "--target",
        "wasm32-unknown-unknown",
        "--lib",
        "--crate-type",
        "cdylib",
    ]);
    cargo
        .args(["--package", package])
        .args(["--", "-C", INLINE_THRESHOLD])
        .current_dir(paths::root());
    run(&format!("build {package} for WASM"), &mut cargo)
}

/// What `wasm-opt` makes of a module: smaller, without names, the same results.
///
/// The result is kept beside the input's copy, as it takes seconds.
fn shrink(built: &Path) -> Result<Vec<u8>> {
    let (seen, shrunk) = (built.with_extension("seen"), built.with_extension("opt"));
    let input = fs::read(built).with_context(|| format!("{} is missing", built.display()))?;
    if !shrunk.exists() || !fs::read(&seen).is_ok_and(|before| before == input) {
        let mut opt = Command::new(paths::node_tool("node"));
        opt.arg(paths::root().join("node_modules/binaryen/bin/wasm-opt"))
            .args(WASM_OPT)
            .arg(built)
            .arg("--output")
            .arg(&shrunk)
            .current_dir(paths::root());
        run_quietly("shrink a module with wasm-opt", &mut opt)?;
        fs::write(&seen, input)?;
    }
    fs::read(&shrunk).context("wasm-opt wrote nothing")
}

/// The library behind wasm-bindgen's command line: nothing to install.
fn bindgen(wasm: &Path, out: &Path) -> Result<()> {
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
fn hash_sources(folder: &Path, hash: &mut Sha256) -> Result<()> {
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
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if !fs::read(path).is_ok_and(|old| old == bytes) {
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
