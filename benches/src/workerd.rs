//! Real processes to measure: the origin, and Workers under `workerd` itself
//! (wrangler's proxy would cap at some hundred requests a second).

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Bearer token of `/internal` and `/admin` in benches.
pub(crate) const ADMIN_TOKEN: &str = "bench-admin-token-0123456789abcdef";
/// Token keys in benches.
pub(crate) const TOKEN_KEYS: &str = "bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("benches lie in the root")
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The pinned Node.
pub(crate) fn node() -> PathBuf {
    root().join("node_modules/.bin/node")
}

/// A server process; dropped, it ends.
pub(crate) struct Server {
    child: Child,
    /// `host:port`.
    pub(crate) address: String,
}

impl Server {
    /// Starts a server and waits until it listens on `port` of the loopback.
    pub(crate) fn start(mut command: Command, port: u16, log: &Path) -> Result<Self> {
        let out = fs::File::create(log)?;
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        let address = format!("127.0.0.1:{port}");
        let mut server = Self {
            child: command.spawn()?,
            address,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&server.address).is_err() {
            if server.child.try_wait()?.is_some() || Instant::now() > deadline {
                let mut text = String::new();
                fs::File::open(log)?.read_to_string(&mut text)?;
                bail!("{command:?} does not answer: {text}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// CPU time used so far, s: user and system, all threads.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        Ok(stat(self.child.id())?.1)
    }

    /// The same, with that of the children that run: servers whose workers are processes.
    pub(crate) fn tree_cpu_s(&self) -> Result<f64> {
        let mut cpu_s = self.cpu_s()?;
        for entry in fs::read_dir("/proc")?.flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            // One that has just ended is nobody's child.
            if let Some((parent, of_child_s)) = pid.and_then(|pid| stat(pid).ok()) {
                cpu_s += if parent == self.child.id() {
                    of_child_s
                } else {
                    0.0
                };
            }
        }
        Ok(cpu_s)
    }

    /// Largest resident size so far, MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.context("no VmHWM")? / 1024.0)
    }
}

/// A process's parent, and its CPU time so far, s.
fn stat(pid: u32) -> Result<(u32, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("an unknown /proc format")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|number| number.parse::<f64>().ok());
    // Fields 4, 14 and 15 of proc(5); times in ticks of 10 ms.
    let parent = number(1).context("ppid")? as u32;
    Ok((
        parent,
        (number(11).context("utime")? + number(12).context("stime")?) / 100.0,
    ))
}

impl Drop for Server {
    /// Asks it to end, so that it ends its children; then it is killed.
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the release build of the origin on the store in `data`.
pub(crate) fn origin(data: &Path, arguments: &[&str]) -> Result<Server> {
    let (port, admin) = (free_port()?, free_port()?);
    let mut command = Command::new(target().join("release/edgewise"));
    command.arg("serve").arg("--data").arg(data).args(arguments);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--admin-listen", &format!("127.0.0.1:{admin}")]);
    command.env("EDGEWISE_AUTH__TOKEN_KEYS", TOKEN_KEYS);
    command.env("EDGEWISE_AUTH__ADMIN_TOKEN", ADMIN_TOKEN);
    command.env("EDGEWISE_AUTH__PLAIN_USER", "allow");
    Server::start(command, port, &data.join("origin.log"))
}

/// Starts the deployed bundle of the edge Worker (`wrangler deploy --dry-run`) under workerd.
pub(crate) fn edge(dir: &Path, origin_url: &str) -> Result<Server> {
    let bundle = target().join("worker/production");
    let bindings = [
        ("EDGEWISE_ORIGIN", origin_url),
        ("EDGEWISE_ADMIN_TOKEN", ADMIN_TOKEN),
        ("EDGEWISE_TOKEN_KEYS", TOKEN_KEYS),
        ("EDGEWISE_PLAIN_USER", "allow"),
        ("EDGEWISE_RATE_PER_S", "0"),
        ("EDGEWISE_CORS_ORIGINS", "*"),
    ];
    worker(dir, "edge", &bundle, "entry.js", &bindings)
}

/// Starts the modules in `folder` as a Worker under workerd.
pub(crate) fn worker(
    dir: &Path,
    name: &str,
    folder: &Path,
    main: &str,
    bindings: &[(&str, &str)],
) -> Result<Server> {
    let place = dir.join(name);
    fs::create_dir_all(&place)?;
    let mut modules = vec![format!("(name = \"{main}\", esModule = embed \"{main}\")")];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path
            .file_name()
            .and_then(|file| file.to_str())
            .context("a file name")?;
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("wasm") => "wasm",
            Some("js" | "mjs") => "esModule",
            Some("json") => "json",
            _ => continue,
        };
        fs::copy(&path, place.join(file))?;
        if file != main {
            modules.push(format!("(name = \"{file}\", {kind} = embed \"{file}\")"));
        }
    }
    let bindings: Vec<String> = bindings
        .iter()
        .map(|(name, text)| format!("(name = \"{name}\", text = \"{text}\")"))
        .collect();
    let port = free_port()?;
    let config = format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "net", network = (allow = ["public", "private", "local"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "main")]
);
const main :Workerd.Worker = (
  modules = [{}],
  compatibilityDate = "2026-07-01",
  bindings = [{}],
  globalOutbound = "net"
);
"#,
        modules.join(", "),
        bindings.join(", "),
    );
    let path = place.join("config.capnp");
    fs::write(&path, config)?;
    let mut command = Command::new(root().join("node_modules/.bin/workerd"));
    command.arg("serve").arg(&path);
    Server::start(command, port, &place.join("workerd.log"))
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
