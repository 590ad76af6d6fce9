//! The sections of the configuration, with their defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

/// Section `store`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Page cache, MiB.
    pub cache_mb: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { cache_mb: 32 }
    }
}

/// Section `replicate`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicateConfig {
    /// Mapping file whose sources `serve` follows; absent = none.
    pub mapping: Option<PathBuf>,
}

/// Section `serve`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// Data directory; created where it is missing.
    pub data: PathBuf,
    /// Address of the public and internal routes.
    pub listen: SocketAddr,
    /// Address of metrics, probes and admin routes.
    pub admin_listen: SocketAddr,
    /// Origins that browsers may call from; `*` allows every one.
    #[serde(deserialize_with = "list")]
    pub allow_origins: Vec<String>,
    /// Whether packs are handed out (`/api/v1/feed/offline`): they hold the model.
    pub offline: bool,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            allow_origins: Vec::new(),
            offline: true,
        }
    }
}

/// Section `clock`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// Domain time at start (RFC 3339 or Unix ms); absent = wall time.
    pub now: Option<String>,
    /// Domain seconds per wall second.
    pub speed: f64,
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self {
            now: None,
            speed: 1.0,
        }
    }
}

/// Whether the `user` parameter counts without a signed token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PlainUser {
    /// It does.
    #[default]
    Allow,
    /// A token is needed to name a user.
    Deny,
}

impl TryFrom<String> for PlainUser {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            _ => Err(format!(
                "auth.plain_user is {text:?}, but must be allow or deny"
            )),
        }
    }
}

/// Section `auth`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// `kid:base64url[,kid:base64url]`; absent = kept in the data directory.
    pub token_keys: Option<String>,
    /// Bearer token of internal and admin routes; absent = kept in the data directory.
    pub admin_token: Option<String>,
    /// See [`PlainUser`]; absent = as [`Config::plain_user`](super::Config::plain_user) says.
    pub plain_user: Option<PlainUser>,
}

/// Section `ranking`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankingSection {
    /// JSON file with a ranking configuration; absent = the seed configuration.
    pub config: Option<PathBuf>,
    /// Model files of LightGBM or XGBoost by the objective that the configuration's blend
    /// names.
    pub heads: BTreeMap<String, PathBuf>,
    /// JSON lines with vectors of users and items; absent = none are known.
    pub vectors: Option<PathBuf>,
}

/// Section `log`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `edgewise_origin=debug`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// Shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("log.format is {text:?}, but must be text or json")),
        }
    }
}

/// Section `limits`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Requests a second and client address; 0 is no limit.
    pub rate_per_s: f64,
    /// Requests a client may send at once before the rate counts.
    pub rate_burst: u32,
    /// Connections of the public listener held open at once.
    pub connections: usize,
    /// Of these, of one client address at once.
    pub connections_per_client: usize,
    /// A request is answered 503 after this, ms.
    pub request_timeout_ms: u64,
    /// A connection that has not sent its headers is closed after this, ms.
    pub header_timeout_ms: u64,
    /// Requests that may read or write the store at once.
    pub store_concurrency: usize,
    /// Time given to open requests at shutdown, ms.
    pub drain_ms: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            rate_per_s: 0.0,
            rate_burst: 100,
            connections: 4_096,
            connections_per_client: 1_024,
            request_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            store_concurrency: 64,
            drain_ms: 10_000,
        }
    }
}

/// A list in a file, comma separated in an environment variable.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Many(Vec<String>),
        One(String),
    }
    let values = match Either::deserialize(deserializer)? {
        Either::Many(values) => values,
        Either::One(text) => text.split(',').map(str::to_owned).collect(),
    };
    Ok(values
        .iter()
        .map(|value| value.trim())
        .filter(|v| !v.is_empty())
        .map(Into::into)
        .collect())
}
