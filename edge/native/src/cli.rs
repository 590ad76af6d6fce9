//! Options: each also an environment variable; secrets only by variable or file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use hyper::Uri;
use ipnet::IpNet;
use tracing::error;

use crate::{api, telemetry};

/// Runs the edge without Cloudflare: the same decisions, in one process.
#[derive(Debug, Parser)]
#[command(name = "edgewise-edge", version, about)]
pub(crate) struct Cli {
    /// Base URL of the origin, http:// or https://
    #[arg(long, env = "EDGEWISE_ORIGIN", value_parser = origin)]
    pub(crate) origin: String,
    #[command(flatten)]
    pub(crate) host: HostOptions,
    #[command(flatten)]
    pub(crate) api: ApiOptions,
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
    /// Connections open at the same time; more are told 503
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

/// What is the Edgewise API's own.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApiOptions {
    /// Folder of the key-value store and of events on their way; without it both are in memory
    /// and a crash loses events
    #[arg(long, env = "EDGEWISE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// MiB of the key-value store
    #[arg(long, env = "EDGEWISE_KV_MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) kv_mib: u64,
    /// MiB of events that wait for the origin; beyond, events are told 503
    #[arg(long, env = "EDGEWISE_SPOOL_MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) spool_mib: u64,
    /// Folder of the page (edge/page/dist), read at start; without it there are no pages
    #[arg(long, env = "EDGEWISE_ASSETS")]
    pub(crate) assets: Option<PathBuf>,
    /// Whether the `user` parameter counts without a signed token
    #[arg(long, env = "EDGEWISE_PLAIN_USER", default_value = "deny")]
    pub(crate) plain_user: Permission,
    /// Whether packs are handed out (/api/v1/feed/offline)
    #[arg(long, env = "EDGEWISE_OFFLINE", default_value = "allow")]
    pub(crate) offline: Permission,
    /// Requests a second a client may make of one worker; 0 is any number
    #[arg(long, env = "EDGEWISE_RATE_PER_S", default_value_t = 0)]
    pub(crate) rate_per_s: u32,
    /// Origins browsers may call from, separated by commas; * is any
    #[arg(long, env = "EDGEWISE_CORS_ORIGINS", value_delimiter = ',')]
    pub(crate) cors_origins: Vec<String>,
    /// File of the origin's admin token, where EDGEWISE_ADMIN_TOKEN does not hold it
    #[arg(long, env = "EDGEWISE_ADMIN_TOKEN_FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// File of the token keys, where EDGEWISE_TOKEN_KEYS does not hold them
    #[arg(long, env = "EDGEWISE_TOKEN_KEYS_FILE")]
    pub(crate) token_keys_file: Option<PathBuf>,
}

/// Yes or no, as the Worker's variables say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Permission {
    Allow,
    Deny,
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
    match api::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
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
