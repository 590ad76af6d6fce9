//! `cargo xtask bench`: builds everything optimised and runs the harness of `benches`.

use std::process::Command;

use anyhow::Result;

use crate::processes::run;
use crate::{BenchOptions, build, check, demo, paths, python, setup};

/// Builds, then measures.
pub(crate) fn run_benches(options: &BenchOptions) -> Result<()> {
    setup::everything()?;
    build::edge()?;
    check::dry_run_deploy()?;
    build::cargo_wasm("edgewise-benches")?;
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release"])
        .args(["--package", "edgewise-origin"])
        .args(["--package", "edgewise-edge"])
        .args(["--package", "edgewise-benches"])
        .current_dir(paths::root());
    // At once: one after the other their dependencies would be built with other features each.
    run("build the origin and the benches", &mut cargo)?;
    let mut bench = Command::new(paths::target().join("release/edgewise-bench"));
    bench.args(&options.sections).current_dir(paths::root());
    if options.save {
        bench.arg("--save");
    }
    if options.strict {
        bench.arg("--strict");
    }
    bench.env("PATH", demo::path_with_node()?);
    if let Some(python) = python::interpreter() {
        bench.env("EDGEWISE_PYTHON", python);
    }
    run("measure", &mut bench)
}
