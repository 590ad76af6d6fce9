//! Options of the Edgewise API.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is the Edgewise API's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Edgewise API (without --proxy)")]
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
