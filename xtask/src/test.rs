//! `cargo xtask test`: every test there is, in Rust, in workerd and in a browser.

use std::process::Command;

use anyhow::{Result, bail};

use crate::processes::run;
use crate::{TestOptions, build, demo, paths, python, setup};

/// Builds what the end-to-end tests start, then hands over to `cargo test`.
pub(crate) fn run_tests(options: &TestOptions) -> Result<()> {
    setup::for_build()?;
    setup::for_tests()?;
    build::edge()?;
    // Tests of the whole workspace build the binary that the end-to-end tests start; those of
    // some packages may not.
    if !options.package.is_empty() {
        let mut origin = Command::new("cargo");
        origin
            .args(["build", "--package", "edgewise-origin"])
            .current_dir(paths::root());
        run("build the origin", &mut origin)?;
    }
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--no-fail-fast"])
        .current_dir(paths::root());
    if options.package.is_empty() {
        cargo.arg("--workspace");
    }
    for package in &options.package {
        cargo.args(["--package", package]);
    }
    cargo.args(&options.filter);
    cargo.env("PATH", demo::path_with_node()?);
    if let Some(python) = python::interpreter() {
        cargo.env("EDGEWISE_PYTHON", python);
    }
    if !cargo.status()?.success() {
        bail!("tests failed");
    }
    Ok(())
}
