//! Options: each also an environment variable; secrets only by variable or file.

mod api;
mod proxy;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use hyper::Uri;
use ipnet::IpNet;
use tracing::{error, info};

pub(crate) use self::api::{ApiOptions, Permission};
use self::proxy::ProxyOptions;
use crate::proxy::Server;
use crate::telemetry;

/// The edge as one process, without Cloudflare.
///
/// It serves the Edgewise API with the decisions of the Worker: feeds ranked here, events spooled,
/// lists and items from memory. With --proxy it is a caching reverse proxy for any HTTP origin: it
/// keeps what the origin's headers allow, asks once for many, and serves what is stale where the
/// origin says so or fails; `Cache-Status` of each answer tells what was done.
#[derive(Debug, Parser)]
#[command(name = "edgewise-edge", version, max_term_width = 100)]
#[command(after_help = "Examples:
  edgewise-edge --origin http://origin:8080 --listen 0.0.0.0:8787 --data-dir /var/lib/edgewise
  edgewise-edge --proxy --origin https://example.com --listen 0.0.0.0:8787

SIGTERM and SIGINT drain: no new connections, open requests are finished for --drain-s.
More: docs/native-edge.md, docs/proxy.md, docs/limits.md.")]
pub(crate) struct Cli {
    /// Cache any origin's answers instead of serving the Edgewise API
    #[arg(long)]
    pub(crate) proxy: bool,
    /// Base URL of the origin, http:// or https://
    #[arg(long, env = "EDGEWISE_ORIGIN", value_parser = origin)]
    pub(crate) origin: String,
    #[command(flatten)]
    pub(crate) host: HostOptions,
    #[command(flatten)]
    pub(crate) api: ApiOptions,
    #[command(flatten)]
    pub(crate) proxy_options: ProxyOptions,
}

/// How the process listens, stops and tells.
#[derive(Clone, Debug, Args)]
pub(crate) struct HostOptions {
    /// Address that clients connect to
    #[arg(long, env = "EDGEWISE_LISTEN", default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    /// Address of /metrics; none is served without it
    #[arg(long, env = "EDGEWISE_ADMIN")]
    pub(crate) admin: Option<SocketAddr>,
    /// Threads that answer requests; 0 is one a core
    #[arg(long, env = "EDGEWISE_THREADS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=256))]
    pub(crate) threads: u16,
    /// MiB of the cache in memory
    #[arg(long, env = "EDGEWISE_MEMORY_MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) memory_mib: u64,
    /// Connections open at the same time; more are told 503, or wait with --proxy
    #[arg(long, env = "EDGEWISE_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// A connection is closed after this long without a request, or with half a header, s
    #[arg(long, env = "EDGEWISE_CLIENT_IDLE_S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) client_idle_s: u64,
    /// How long /readyz says no before a stop closes the listener, s
    #[arg(long, env = "EDGEWISE_DRAIN_DELAY_S", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) drain_delay_s: u64,
    /// How long open requests, then waiting events, may take at a stop, s each
    #[arg(long, env = "EDGEWISE_DRAIN_S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) drain_s: u64,
    /// Networks of your own fronts, whose X-Forwarded-For and X-Edgewise-Country, -Region and
    /// -Timezone count
    #[arg(long, env = "EDGEWISE_TRUST_FORWARDED", value_delimiter = ',', value_parser = network)]
    pub(crate) trust_forwarded: Vec<IpNet>,
    /// error, warn, info, debug or trace, or a filter of them
    #[arg(long, env = "EDGEWISE_LOG", default_value = "info")]
    pub(crate) log_level: String,
    /// Form of log lines
    #[arg(long, env = "EDGEWISE_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Runs the command line to its end; what keeps the process from starting is in the log.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.host.log_format == LogFormat::Json;
    if let Err(error) = telemetry::init_logs(&cli.host.log_level, json) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    std::panic::set_hook(Box::new(|panic| error!(%panic, "a panic")));
    let done = if cli.proxy {
        run_proxy(&cli)
    } else {
        crate::api::run(&cli)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_proxy(cli: &Cli) -> anyhow::Result<()> {
    let server = Server::start(proxy::options(cli)?)?;
    info!(listen = %server.address(), "ready");
    server.run_until_signal()
}

fn origin(text: &str) -> Result<String, String> {
    let url: Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("it must begin with http:// or https://".to_owned());
    }
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.is_empty() || authority.contains('@') || url.query().is_some() {
        return Err("it must be a host, a port and a path, nothing more".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A network, or an address as a network of one.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse());
    network.map_err(|_| "it is no address and no network such as 10.0.0.0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn options_are_whole_and_show_no_secret() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("EDGEWISE_ADMIN_TOKEN_FILE"));
        let secrets = ["[env: EDGEWISE_ADMIN_TOKEN=", "[env: EDGEWISE_TOKEN_KEYS="];
        assert!(secrets.iter().all(|secret| !help.contains(secret)));
    }

    #[test]
    fn origins_and_networks_are_checked() {
        assert_eq!(
            origin("http://a.example:8080/"),
            Ok("http://a.example:8080".into())
        );
        assert_eq!(
            origin("https://a.example/base/"),
            Ok("https://a.example/base".into())
        );
        for bad in [
            "",
            "a.example",
            "ftp://a.example",
            "http://",
            "http://u:p@a",
            "http://a/?x",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        assert!(network("10.0.0.1").is_ok() && network("fd00::/8").is_ok());
        assert!(network("10.0.0.0/33").is_err() && network("front").is_err());
    }
}
