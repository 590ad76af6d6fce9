//! Installs what is missing. Everything is pinned and, once there, works offline.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use crate::processes::run_quietly;
use crate::{paths, python, servers};

const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// What building needs: compilers, the WASM target and the Node packages.
pub(crate) fn for_build() -> Result<()> {
    compilers()?;
    wasm_target()?;
    node_packages()
}

/// What building and every test need.
pub(crate) fn everything() -> Result<()> {
    for_build()?;
    for_tests()
}

/// What tests and benches start: a browser, database servers, a broker, the libraries that train
/// trees. What cannot be installed here is said, and its tests say that they were skipped; under
/// `EDGEWISE_REQUIRE_ALL=1` it is an error.
pub(crate) fn for_tests() -> Result<()> {
    let required = std::env::var_os("EDGEWISE_REQUIRE_ALL").is_some_and(|value| value == "1");
    let steps = [
        ("Chromium", chromium as fn() -> Result<()>),
        ("Python libraries", python::install),
    ];
    for (what, install) in steps.into_iter().chain(servers::STEPS) {
        match install() {
            Ok(()) => {}
            Err(error) if required => return Err(error),
            Err(error) => eprintln!(
                "setup: no {what}: {error:#}; tests that need it will say that they were skipped"
            ),
        }
    }
    Ok(())
}

/// Some dependencies (the Kafka client, TLS, zstd) bring C and C++ sources; zlib's headers are
/// not needed, its sources come along too.
fn compilers() -> Result<()> {
    if ["cc", "c++", "make"].into_iter().all(in_path) {
        return Ok(());
    }
    apt_update()
        .and_then(|()| apt_install("compilers", &["build-essential"]))
        .context("install a C compiler, a C++ compiler and make")
}

fn wasm_target() -> Result<()> {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(paths::root())
        .output()
        .context("cannot run rustc: install Rust with rustup")?;
    let sysroot = String::from_utf8(sysroot.stdout)?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(WASM_TARGET)
        .exists()
    {
        return Ok(());
    }
    eprintln!("setup: adding the Rust target {WASM_TARGET}");
    let mut add = Command::new("rustup");
    run_quietly(
        "add the WASM target with rustup",
        add.args(["target", "add", WASM_TARGET])
            .current_dir(paths::root()),
    )
}

fn node_packages() -> Result<()> {
    let lock = std::fs::read(paths::root().join("package-lock.json"))
        .context("package-lock.json is missing")?;
    let stamp = paths::root().join("node_modules/.edgewise-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    eprintln!("setup: installing Node packages (about a minute the first time)");
    let mut install = Command::new("npm");
    // Not `npm ci`: it refuses a lock file made where a package of another platform was missing.
    install
        .args(["install", "--no-save", "--no-audit", "--no-fund"])
        .current_dir(paths::root());
    run_quietly(
        "install the Node packages with npm (is Node.js installed?)",
        &mut install,
    )?;
    std::fs::write(stamp, lock)?;
    Ok(())
}

/// Chromium for the browser tests, from the distribution.
fn chromium() -> Result<()> {
    if find_chromium().is_some() {
        return Ok(());
    }
    apt_update()
        .and_then(|()| apt_install("Chromium", &["chromium", "fonts-dejavu-core"]))
        .context("install Chromium by hand, or set CHROMIUM to its path")?;
    if find_chromium().is_none() {
        bail!("apt-get installed no chromium: set CHROMIUM to a browser's path");
    }
    Ok(())
}

fn find_chromium() -> Option<std::path::PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ]
    .into_iter()
    .map(std::path::PathBuf::from)
    .find(|path| path.exists())
}

/// Whether a program is in `PATH`.
pub(crate) fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Fetches the distribution's lists of packages, once a run.
pub(crate) fn apt_update() -> Result<()> {
    static UPDATED: AtomicBool = AtomicBool::new(false);
    if UPDATED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut apt = Command::new("apt-get");
    run_quietly(
        "fetch the lists of packages with apt-get",
        apt.args(["update", "-q"]),
    )?;
    UPDATED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Installs packages of the distribution.
pub(crate) fn apt_install(what: &str, packages: &[&str]) -> Result<()> {
    eprintln!("setup: installing {what} with apt-get");
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-q", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run_quietly(&format!("install {what} with apt-get"), &mut apt)
}
