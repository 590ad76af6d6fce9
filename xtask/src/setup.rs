//! Installs what is missing. Everything is pinned and, once there, works offline.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::processes::run_quietly;

const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// What building needs: the WASM target and the Node packages.
pub(crate) fn for_build() -> Result<()> {
    wasm_target()?;
    node_packages()
}

/// What building and every test need.
pub(crate) fn everything() -> Result<()> {
    for_build()?;
    chromium()
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
pub(crate) fn chromium() -> Result<()> {
    if find_chromium().is_some() {
        return Ok(());
    }
    eprintln!("setup: installing Chromium for the browser tests");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        run_quietly("install Chromium with apt-get", &mut command)
    };
    apt(&["update", "-q"])
        .and_then(|()| {
            apt(&[
                "install",
                "-y",
                "-q",
                "--no-install-recommends",
                "chromium",
                "fonts-dejavu-core",
            ])
        })
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
