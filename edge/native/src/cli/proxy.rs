//! Options of the caching reverse proxy.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use edgewise_cache::{Config, SetCookie};

use super::Cli;
use crate::proxy::{Limits, Options};

/// How a plain cache behaves.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Caching reverse proxy (with --proxy)")]
pub(crate) struct ProxyOptions {
    /// Send the client's Host to the origin instead of the origin's own
    #[arg(long)]
    preserve_host: bool,
    /// The largest body that is stored, MiB
    #[arg(long, default_value_t = 16, value_name = "MIB")]
    object_mib: u64,
    /// How long a stale answer may stand in for a failing origin that does not say, s
    #[arg(long, default_value_t = 86_400, value_name = "S")]
    stale_if_error_s: u32,
    /// How long a 404 or 410 is kept where the origin does not say, s
    #[arg(long, default_value_t = 2, value_name = "S")]
    negative_s: u32,
    /// The longest lifetime that is guessed from Last-Modified, s; 0 guesses nothing
    #[arg(long, default_value_t = 86_400, value_name = "S")]
    heuristic_max_s: u32,
    /// Answers with Set-Cookie: refuse them unless they say that others may see them, strip the
    /// cookie, or store them as they are
    #[arg(long, value_enum, default_value_t = Cookies::Refuse)]
    set_cookie: Cookies,
    /// Ignore no-cache and max-age of clients: a reload does not reach the origin
    #[arg(long)]
    ignore_client_reload: bool,
    /// How long to wait for the origin's headers, ms
    #[arg(long, default_value_t = 2_000, value_name = "MS")]
    origin_budget_ms: u64,
    /// The same where a stale answer may be served that the origin allowed for errors, ms
    #[arg(long, default_value_t = 80, value_name = "MS")]
    stale_budget_ms: u64,
    /// How long to wait for a connection to the origin, ms
    #[arg(long, default_value_t = 1_000, value_name = "MS")]
    connect_budget_ms: u64,
    /// How long a body may pause, s
    #[arg(long, default_value_t = 30, value_name = "S")]
    body_idle_s: u64,
    /// Requests to the origin at once; beyond, stale answers or 503
    #[arg(long, default_value_t = 1_024, value_name = "N")]
    origin_requests: usize,
}

/// What is done with answers that set a cookie.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cookies {
    Refuse,
    Strip,
    Store,
}

/// What the proxy is started with.
///
/// # Errors
/// The origin has a path, or an option is of the other mode only.
pub(super) fn options(cli: &Cli) -> Result<Options> {
    let (host, proxy) = (&cli.host, &cli.proxy_options);
    anyhow::ensure!(
        host.admin.is_none(),
        "--admin: the proxy has no metrics yet"
    );
    let trusted = &host.trust_forwarded;
    anyhow::ensure!(
        trusted.is_empty(),
        "--trust-forwarded: the proxy trusts nobody"
    );
    let origin = cli.origin.parse();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Options {
        origin: origin.with_context(|| format!("--origin {}", cli.origin))?,
        listen: host.listen,
        threads: if host.threads == 0 {
            cores
        } else {
            usize::from(host.threads)
        },
        preserve_host: proxy.preserve_host,
        memory_bytes: host.memory_mib << 20,
        cache: Config {
            set_cookie: match proxy.set_cookie {
                Cookies::Refuse => SetCookie::Refuse,
                Cookies::Strip => SetCookie::Strip,
                Cookies::Store => SetCookie::Store,
            },
            stale_if_error_s: proxy.stale_if_error_s,
            negative_s: proxy.negative_s,
            heuristic_max_s: proxy.heuristic_max_s,
            client_reload: !proxy.ignore_client_reload,
            object_bytes_max: proxy.object_mib << 20,
            ..Config::default()
        },
        limits: Limits {
            origin_budget: Duration::from_millis(proxy.origin_budget_ms),
            stale_budget: Duration::from_millis(proxy.stale_budget_ms),
            connect_budget: Duration::from_millis(proxy.connect_budget_ms),
            body_idle: Duration::from_secs(proxy.body_idle_s),
            client_idle: Duration::from_secs(host.client_idle_s),
            drain: Duration::from_secs(host.drain_s),
            origin_requests_max: proxy.origin_requests,
            connections_max: host.connections as usize,
        },
    })
}
