//! `cargo xtask proxy`: either host as a caching reverse proxy for any origin.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::processes::{Process, run};
use crate::{ProxyHost, ProxyOptions, build, check, paths, setup};

/// How long a host may take until it listens.
const READY: Duration = Duration::from_secs(30);

/// Builds the host, runs it until SIGINT or SIGTERM, and stops it.
pub(crate) fn run_proxy(options: &ProxyOptions) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let address = format!("127.0.0.1:{}", options.port);
    if TcpListener::bind(&address).is_err() {
        bail!("port {} is taken: choose another with --port", options.port);
    }
    let folder = paths::target().join("proxy");
    fs::create_dir_all(&folder)?;
    let (name, command) = match options.host {
        ProxyHost::Native => ("edgewise-edge", native(options, &address)?),
        ProxyHost::Worker => ("workerd", worker(options, &address, &folder)?),
    };
    let log = folder.join(format!("{name}.log"));
    let mut host = Process::start(name, command, &log)?;
    let deadline = Instant::now() + READY;
    while TcpStream::connect(&address).is_err() {
        if host.check().is_err() || Instant::now() > deadline {
            bail!("{name} does not listen: {}", fs::read_to_string(&log)?);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("ready: http://{address} -> {}", options.origin);
    while !stop.load(Ordering::Relaxed) {
        host.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn native(options: &ProxyOptions, address: &str) -> Result<Command> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--package", "edgewise-edge"])
        .current_dir(paths::root());
    run("build edgewise-edge", &mut cargo)?;
    let mut command = Command::new(paths::target().join("release/edgewise-edge"));
    command.args(["--proxy", "--origin", &options.origin, "--listen", address]);
    Ok(command)
}

/// The Worker as it is deployed, under workerd itself.
fn worker(options: &ProxyOptions, address: &str, folder: &Path) -> Result<Command> {
    if options.origin.contains(['"', '\\', '\n']) {
        bail!("--origin is no URL");
    }
    setup::for_build()?;
    build::edge()?;
    check::dry_run_deploy()?;
    let modules = modules(&paths::target().join("worker/production"), folder)?;
    let config = format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "net", network = (
      allow = ["public", "private", "local"],
      tlsOptions = (trustBrowserCas = true)
    ))
  ],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")]
);
const main :Workerd.Worker = (
  modules = [{modules}],
  compatibilityDate = "2026-07-01",
  bindings = [(name = "EDGEWISE_PROXY", text = "{}")],
  globalOutbound = "net"
);
"#,
        options.origin
    );
    let path = folder.join("config.capnp");
    fs::write(&path, config)?;
    let mut command = Command::new(paths::node_tool("workerd"));
    command.arg("serve").arg(path);
    Ok(command)
}

/// Copies the bundle's modules beside the configuration, which names them.
fn modules(bundle: &Path, folder: &Path) -> Result<String> {
    // The first is the Worker's entry.
    let mut modules = vec![r#"(name = "entry.js", esModule = embed "entry.js")"#.to_owned()];
    for entry in fs::read_dir(bundle)? {
        let path = entry?.path();
        let file = path.file_name().and_then(|file| file.to_str());
        let file = file.context("a file name")?;
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("wasm") => "wasm",
            Some("js" | "mjs") => "esModule",
            _ => continue,
        };
        fs::copy(&path, folder.join(file))?;
        if file != "entry.js" {
            modules.push(format!("(name = \"{file}\", {kind} = embed \"{file}\")"));
        }
    }
    Ok(modules.join(", "))
}
