//! `cargo xtask check`: what a reviewer should not have to say.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::processes::run;
use crate::{build, demo, paths, setup};

/// Formatting, lints, documentation, types, deployability; then the optional tools.
pub(crate) fn run_checks() -> Result<()> {
    setup::for_build()?;
    cargo(
        "format (run `cargo fmt`)",
        &["fmt", "--all", "--check"],
        &[],
    )?;
    let lints = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    cargo("pass the lints", &lints, &[])?;
    let docs = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    cargo("document", &docs, &[("RUSTDOCFLAGS", "-D warnings")])?;
    build::edge()?;
    build::Size::check()?;
    dry_run_deploy()?;
    optional("typos", &["--format", "brief"])?;
    optional("cargo-deny", &["check"])
}

fn cargo(what: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(paths::root());
    run(what, &mut cargo)
}

/// `wrangler deploy --dry-run` bundles the Worker as a deployment would, offline.
pub(crate) fn dry_run_deploy() -> Result<()> {
    for environment in ["staging", "production"] {
        let mut wrangler = Command::new(paths::node_tool("node"));
        wrangler.arg(paths::root().join("node_modules/wrangler/bin/wrangler.js"));
        wrangler.args(["deploy", "--dry-run", "--env", environment, "--outdir"]);
        wrangler.arg(paths::target().join("worker").join(environment));
        wrangler
            .env("WRANGLER_SEND_METRICS", "false")
            .env("EDGEWISE_BUILT", "1");
        wrangler
            .env("PATH", demo::path_with_node()?)
            .current_dir(paths::root());
        crate::processes::run_quietly("bundle the Worker with wrangler", &mut wrangler)?;
    }
    Ok(())
}

/// Runs a tool where it is installed; says so where it is not.
fn optional(tool: &str, arguments: &[&str]) -> Result<()> {
    let quiet = Stdio::null;
    let probe = Command::new(tool)
        .arg("--version")
        .stdout(quiet())
        .stderr(quiet())
        .status();
    if probe.is_err() {
        eprintln!("check: {tool} is not installed: skipped (cargo install {tool})");
        return Ok(());
    }
    let mut command = Command::new(tool);
    run(
        &format!("pass {tool}"),
        command.args(arguments).current_dir(paths::root()),
    )
}
