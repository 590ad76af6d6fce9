//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use edgewise_cache::{Config, SetCookie};

use crate::proxy::{Limits, Options, Server};

/// The edge as one process.
///
/// With --proxy it is a caching reverse proxy for any HTTP origin: it keeps what the origin's
/// headers allow, answers from it, asks once for many, and serves what is stale where the origin
/// says so or fails. `Cache-Status` of each answer tells what was done.
#[derive(Debug, Parser)]
#[command(name = "edgewise-edge", version, max_term_width = 100)]
#[command(
    after_help = "Example: edgewise-edge --proxy --origin https://example.com --listen 0.0.0.0:8080

SIGTERM and SIGINT drain: no new connections, open requests are finished for --drain-s.
Limits and what is kept: docs/proxy.md, docs/limits.md."
)]
struct Args {
    /// Cache any origin's answers (the one mode there is yet).
    #[arg(long)]
    proxy: bool,
    /// Where answers come from: http://host[:port] or https://host[:port].
    #[arg(long, env = "EDGEWISE_ORIGIN", value_name = "URL")]
    origin: String,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// Threads, each with its own listener; 0 is one a core.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// Send the client's Host to the origin instead of the origin's own.
    #[arg(long)]
    preserve_host: bool,

    /// Memory for stored answers, MiB.
    #[arg(
        long,
        default_value_t = 512,
        value_name = "MIB",
        help_heading = "Cache"
    )]
    memory_mib: u64,
    /// The largest body that is stored, MiB.
    #[arg(long, default_value_t = 16, value_name = "MIB", help_heading = "Cache")]
    object_mib: u64,
    /// How long a stale answer may stand in for a failing origin that does not say, seconds.
    #[arg(
        long,
        default_value_t = 86_400,
        value_name = "S",
        help_heading = "Cache"
    )]
    stale_if_error_s: u32,
    /// How long a 404 or 410 is kept where the origin does not say, seconds.
    #[arg(long, default_value_t = 2, value_name = "S", help_heading = "Cache")]
    negative_s: u32,
    /// The longest lifetime that is guessed from Last-Modified, seconds; 0 guesses nothing.
    #[arg(
        long,
        default_value_t = 86_400,
        value_name = "S",
        help_heading = "Cache"
    )]
    heuristic_max_s: u32,
    /// Answers with Set-Cookie: refuse them unless they say that others may see them, strip the
    /// cookie, or store them as they are.
    #[arg(long, value_enum, default_value_t = Cookies::Refuse, help_heading = "Cache")]
    set_cookie: Cookies,
    /// Ignore no-cache and max-age of clients: a reload does not reach the origin.
    #[arg(long, help_heading = "Cache")]
    ignore_client_reload: bool,

    /// How long to wait for the origin's headers, ms.
    #[arg(
        long,
        default_value_t = 2_000,
        value_name = "MS",
        help_heading = "Origin"
    )]
    origin_budget_ms: u64,
    /// The same where a stale answer may be served that the origin allowed for errors, ms.
    #[arg(long, default_value_t = 80, value_name = "MS", help_heading = "Origin")]
    stale_budget_ms: u64,
    /// How long to wait for a connection to the origin, ms.
    #[arg(
        long,
        default_value_t = 1_000,
        value_name = "MS",
        help_heading = "Origin"
    )]
    connect_budget_ms: u64,
    /// How long a body may pause, s.
    #[arg(long, default_value_t = 30, value_name = "S", help_heading = "Origin")]
    body_idle_s: u64,
    /// Requests to the origin at once; beyond, stale answers or 503.
    #[arg(
        long,
        default_value_t = 1_024,
        value_name = "N",
        help_heading = "Origin"
    )]
    origin_requests: usize,

    /// How long a client may take to send its headers or to read anything, and a connection may be
    /// idle, s.
    #[arg(long, default_value_t = 30, value_name = "S", help_heading = "Clients")]
    client_idle_s: u64,
    /// Connections at once; beyond, new ones wait.
    #[arg(
        long,
        default_value_t = 16_384,
        value_name = "N",
        help_heading = "Clients"
    )]
    connections: usize,
    /// How long open requests may take once the process is told to stop, s.
    #[arg(long, default_value_t = 10, value_name = "S", help_heading = "Clients")]
    drain_s: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cookies {
    Refuse,
    Strip,
    Store,
}

/// Runs the command line to its end.
///
/// # Errors
/// What keeps the process from starting, in words.
pub fn run() -> Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    if !args.proxy {
        bail!("say --proxy: this binary is a caching reverse proxy and nothing else yet");
    }
    let listen = args.listen;
    let server = Server::start(args.options()?).with_context(|| format!("listen on {listen}"))?;
    tracing::info!(listen = %server.address(), "ready");
    server.run_until_signal()
}

impl Args {
    fn options(&self) -> Result<Options> {
        let origin = self
            .origin
            .parse()
            .with_context(|| format!("--origin {}", self.origin))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Options {
            origin,
            listen: self.listen,
            threads: if self.threads == 0 {
                cores
            } else {
                self.threads
            },
            preserve_host: self.preserve_host,
            memory_bytes: self.memory_mib << 20,
            cache: Config {
                set_cookie: match self.set_cookie {
                    Cookies::Refuse => SetCookie::Refuse,
                    Cookies::Strip => SetCookie::Strip,
                    Cookies::Store => SetCookie::Store,
                },
                stale_if_error_s: self.stale_if_error_s,
                negative_s: self.negative_s,
                heuristic_max_s: self.heuristic_max_s,
                client_reload: !self.ignore_client_reload,
                object_bytes_max: self.object_mib << 20,
                ..Config::default()
            },
            limits: Limits {
                origin_budget: Duration::from_millis(self.origin_budget_ms),
                stale_budget: Duration::from_millis(self.stale_budget_ms),
                connect_budget: Duration::from_millis(self.connect_budget_ms),
                body_idle: Duration::from_secs(self.body_idle_s),
                client_idle: Duration::from_secs(self.client_idle_s),
                drain: Duration::from_secs(self.drain_s),
                origin_requests_max: self.origin_requests,
                connections_max: self.connections,
            },
        })
    }
}
