//! The native caching proxy: what a hit costs beside nginx and Varnish, and what a herd costs the
//! origin.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http_load;
use crate::table::Table;
use crate::workerd::{Server, free_port, target};

/// Length of the body of a hit, bytes.
const BODY_BYTES: usize = 4 << 10;
/// Connections; enough to keep one thread of a cache busy.
const CONNECTIONS: usize = 16;
/// Rounds in which each cache has its turn; the median round counts.
const ROUNDS: usize = 7;
/// Length of one turn, s.
const SECONDS: f64 = 1.5;
/// Requests of a herd.
const HERD: usize = 200;
/// What the origin takes for a herd's object, ms.
const ORIGIN_MS: u64 = 300;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::start()?;
    hits(table, folder.path(), &origin)?;
    herd(table, folder.path(), &origin)
}

/// An origin with an object that may be kept for an hour under every path.
struct Origin {
    address: String,
    requests: Arc<AtomicUsize>,
    delay_ms: Arc<AtomicU64>,
}

impl Origin {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?.to_string();
        let (requests, delay_ms) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let (counted, delay) = (Arc::clone(&requests), Arc::clone(&delay_ms));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counted, delay) = (Arc::clone(&counted), Arc::clone(&delay));
                thread::spawn(move || answer(&stream, &counted, &delay));
            }
        });
        Ok(Self {
            address,
            requests,
            delay_ms,
        })
    }
}

/// Answers the requests of one connection until it ends.
fn answer(mut stream: &TcpStream, requests: &AtomicUsize, delay_ms: &AtomicU64) -> Option<()> {
    let body = "x".repeat(BODY_BYTES);
    let mut lines = BufReader::new(stream).lines();
    loop {
        let head = lines.by_ref().map_while(Result::ok);
        let head = head.take_while(|line| !line.is_empty()).count();
        if head == 0 {
            return None;
        }
        requests.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed)));
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=3600\r\n\
             etag: \"1\"\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
    }
}

/// A cache that is measured, and what each of its rounds cost.
struct Side {
    name: &'static str,
    server: Server,
    cpu_us: Vec<f64>,
    rates: Vec<f64>,
}

impl Side {
    fn new(name: &'static str, server: Server) -> Self {
        let (cpu_us, rates) = (Vec::new(), Vec::new());
        Self {
            name,
            server,
            cpu_us,
            rates,
        }
    }

    fn turn(&mut self) -> Result<()> {
        let address = &self.server.address;
        let request = http_load::get(address, "/hit");
        let before = self.server.tree_cpu_s()?;
        let run = http_load::run(address, CONNECTIONS, SECONDS, Duration::ZERO, |_, _| {
            request.clone()
        })?;
        ensure!(run.errors == 0, "{}: {} errors", self.name, run.errors);
        let cpu_s = self.server.tree_cpu_s()? - before;
        self.cpu_us
            .push(cpu_s * 1e6 / run.latencies_ms.len() as f64);
        self.rates.push(run.rate());
        Ok(())
    }

    fn median_cpu_us(&self) -> f64 {
        median(&self.cpu_us)
    }

    fn to_text(&self) -> String {
        let (rate, cpu_us) = (median(&self.rates), self.median_cpu_us());
        format!("{rate:.0} requests/s, {cpu_us:.1} CPU µs")
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn hits(table: &mut Table, folder: &Path, origin: &Origin) -> Result<()> {
    let mut sides = vec![Side::new("edgewise-edge", ours(folder, origin)?)];
    for (name, program, start) in [
        (
            "nginx",
            "nginx",
            nginx as fn(&Path, &Origin) -> Result<Server>,
        ),
        ("Varnish", "varnishd", varnish),
    ] {
        if is_installed(program) {
            sides.push(Side::new(name, start(folder, origin)?));
        }
    }
    for side in &sides {
        // Stored, and asked for often enough to be warm.
        for _ in 0..100 {
            let address = &side.server.address;
            http_load::status(address, &http_load::get(address, "/hit"))?;
        }
    }
    let asked = origin.requests.load(Ordering::Relaxed);
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.turn()?;
        }
    }
    let misses = origin.requests.load(Ordering::Relaxed) - asked;
    ensure!(
        misses == 0,
        "{misses} requests reached the origin: these were no hits"
    );
    let (ours, peers) = sides.split_first().context("our own side")?;
    let cpu_us = ours.median_cpu_us();
    let mut beside = Vec::new();
    let mut is_met = peers.len() == 2;
    for peer in peers {
        let ratio = cpu_us / peer.median_cpu_us();
        let most = if peer.name == "nginx" { 1.3 } else { 1.0 };
        is_met &= ratio <= most;
        beside.push(format!(
            "{}: {} (ours {ratio:.2} of its CPU)",
            peer.name,
            peer.to_text()
        ));
    }
    if peers.len() < 2 {
        beside.push(String::from("nginx or Varnish is not installed"));
    }
    let bar = table.bar("at most Varnish's CPU, 1.3 of nginx's", is_met);
    table.row(
        "hit of 4 KB at the native proxy",
        ours.to_text(),
        format!("{}; {bar}", beside.join("; ")),
        format!("one thread or worker each, {CONNECTIONS} connections, median of {ROUNDS} turns of {SECONDS} s; CPU of the process and its children"),
    );
    Ok(())
}

fn herd(table: &mut Table, folder: &Path, origin: &Origin) -> Result<()> {
    let server = ours(folder, origin)?;
    origin.delay_ms.store(ORIGIN_MS, Ordering::Relaxed);
    let before = origin.requests.load(Ordering::Relaxed);
    let request = http_load::get(&origin.address, "/herd");
    let address = server.address.as_str();
    let waits = thread::scope(|scope| {
        let clients: Vec<_> = (0..HERD)
            .map(|_| {
                scope.spawn(|| {
                    let started = Instant::now();
                    let status = http_load::status(address, &request);
                    (status, started.elapsed().as_secs_f64() * 1e3)
                })
            })
            .collect();
        let waits = clients.into_iter().map(thread::ScopedJoinHandle::join);
        waits.collect::<Vec<_>>()
    });
    origin.delay_ms.store(0, Ordering::Relaxed);
    let mut longest_ms = 0.0_f64;
    for wait in waits {
        let (status, ms) = wait.ok().context("a client panicked")?;
        ensure!(status? == 200, "an error in the herd");
        longest_ms = longest_ms.max(ms);
    }
    let requests = origin.requests.load(Ordering::Relaxed) - before;
    let ratio = longest_ms / ORIGIN_MS as f64;
    let bar = table.bar(
        "1 origin request, 1.25 of the origin's time",
        requests == 1 && ratio <= 1.25,
    );
    table.row(
        format!("herd of {HERD} cold requests at the native proxy"),
        format!("{requests} origin request(s), the last answer after {longest_ms:.0} ms ({ratio:.2} of the origin's time)"),
        bar,
        format!("the origin takes {ORIGIN_MS} ms; each client on a connection of its own"),
    );
    Ok(())
}

fn ours(folder: &Path, origin: &Origin) -> Result<Server> {
    let port = free_port()?;
    let mut command = Command::new(target().join("release/edgewise-edge"));
    command.args(["--proxy", "--threads", "1", "--origin"]);
    command.arg(format!("http://{}", origin.address));
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    Server::start(command, port, &folder.join("edgewise-edge.log"))
}

fn nginx(folder: &Path, origin: &Origin) -> Result<Server> {
    let (port, place) = (free_port()?, folder.join("nginx"));
    fs::create_dir_all(&place)?;
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|name| format!("{name}_temp_path {name};\n"));
    let config = format!(
        "user root;\ndaemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log error.log crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 1000000000;\n{}\
         proxy_cache_path cache keys_zone=hits:10m;\n\
         server {{\nlisten 127.0.0.1:{port};\n\
         location / {{ proxy_pass http://{}; proxy_cache hits; }}\n}}\n}}\n",
        paths.concat(),
        origin.address,
    );
    fs::write(place.join("nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&place).args(["-c", "nginx.conf"]);
    Server::start(command, port, &folder.join("nginx.log"))
}

fn varnish(folder: &Path, origin: &Origin) -> Result<Server> {
    let port = free_port()?;
    let mut command = Command::new("varnishd");
    command.args(["-F", "-j", "none", "-s", "malloc,64m"]);
    command.args(["-a", &format!("127.0.0.1:{port}"), "-b", &origin.address]);
    command.arg("-n").arg(folder.join("varnish"));
    Server::start(command, port, &folder.join("varnish.log"))
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let system = [Path::new("/usr/sbin").to_owned()];
    let mut folders = std::env::split_paths(&folders).chain(system);
    folders.any(|folder| folder.join(program).is_file())
}
