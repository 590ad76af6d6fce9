//! Configuration: defaults < `edgewise.toml` < `EDGEWISE_SECTION__KEY` < flags.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use edgewise_ranking::RankingConfig;
use serde::{Deserialize, Deserializer};
use tracing_subscriber::EnvFilter;

use crate::cli::ServeArgs;
use crate::cli::replicate::ReplicateArgs;

/// The file that is read from the working directory where `--config` names none.
pub const DEFAULT_FILE: &str = "edgewise.toml";

/// `EDGEWISE_SOURCE_<NAME>__URL` goes over a source's URL in the mapping file.
const SOURCE_PREFIX: &str = "SOURCE_";

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is missing, of the wrong shape or unknown. The cause is part of the sentence.
    #[error("{0}; see `docs/configuration.md` for the keys there are")]
    Invalid(config::ConfigError),
    /// A file cannot be read.
    #[error(
        "{what} `{}` cannot be read; check the path and its permissions",
        path.display()
    )]
    Unreadable {
        /// What the file is.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A value is outside its range.
    #[error("{key} is {given}, but must be {allowed}; correct it where it is set")]
    Range {
        /// Dotted key.
        key: &'static str,
        /// What was given.
        given: String,
        /// The allowed range, in words.
        allowed: &'static str,
    },
    /// The ranking configuration is not valid.
    #[error(
        "the ranking configuration `{}` is not valid: {reason}; correct the file or remove ranking.config",
        path.display()
    )]
    Ranking {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

// By hand: derived, the cause would be a source too, and be printed twice.
impl From<config::ConfigError> for ConfigError {
    fn from(cause: config::ConfigError) -> Self {
        Self::Invalid(cause)
    }
}

/// Everything that can be configured, by section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Listeners and the data directory.
    pub serve: ServeConfig,
    /// Replay clock.
    pub clock: ClockConfig,
    /// Keys and identity.
    pub auth: AuthConfig,
    /// Ranking configuration.
    pub ranking: RankingSection,
    /// Logs.
    pub log: LogConfig,
    /// Protection from load.
    pub limits: LimitsConfig,
    /// The embedded store.
    pub store: StoreConfig,
    /// Following an operator's database.
    pub replicate: ReplicateConfig,
}

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
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            allow_origins: Vec::new(),
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
    /// See [`PlainUser`]; absent = as [`Config::plain_user`] says.
    pub plain_user: Option<PlainUser>,
}

/// Section `ranking`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankingSection {
    /// JSON file with a ranking configuration; absent = the seed configuration.
    pub config: Option<PathBuf>,
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

impl Config {
    /// Reads `file` (or [`DEFAULT_FILE`] where it exists) and the environment.
    ///
    /// # Errors
    ///
    /// A named file that cannot be read, an unknown key, a value of the wrong shape or range.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        if file.is_some() || path.exists() {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                what: "configuration file",
                path: path.into(),
                source,
            })?;
            builder = builder.add_source(config::File::from_str(&text, config::FileFormat::Toml));
        }
        // Names without a section (EDGEWISE_WASM, EDGEWISE_ORIGIN ...) belong to other commands,
        // those of sources to the mapping file.
        let keys: HashMap<String, String> = environment
            .filter(|(name, _)| {
                name.strip_prefix("EDGEWISE_")
                    .is_some_and(|rest| rest.contains("__") && !rest.starts_with(SOURCE_PREFIX))
            })
            .collect();
        let variables = config::Environment::with_prefix("EDGEWISE")
            .prefix_separator("_")
            .separator("__")
            .source(Some(keys));
        let loaded: Self = builder.add_source(variables).build()?.try_deserialize()?;
        Ok(loaded)
    }

    /// Flags of `serve` go over everything else.
    pub fn apply(&mut self, flags: &ServeArgs) {
        self.serve.listen = flags.listen.unwrap_or(self.serve.listen);
        self.serve.admin_listen = flags.admin_listen.unwrap_or(self.serve.admin_listen);
        self.clock.speed = flags.speed.unwrap_or(self.clock.speed);
        if flags.now.is_some() {
            self.clock.now.clone_from(&flags.now);
        }
        if !flags.allow_origin.is_empty() {
            self.serve.allow_origins.clone_from(&flags.allow_origin);
        }
        if flags.mapping.is_some() {
            self.replicate.mapping.clone_from(&flags.mapping);
        }
    }

    /// Flags of `replicate` go over everything else.
    pub fn apply_replicate(&mut self, flags: &ReplicateArgs) {
        self.serve.admin_listen = flags.admin_listen.unwrap_or(self.serve.admin_listen);
    }

    /// Refuses numbers outside their range, and texts that mean nothing.
    ///
    /// # Errors
    ///
    /// Names the key, what was given and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let range = |key, given: String, ok: bool, allowed| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError::Range {
                    key,
                    given,
                    allowed,
                })
            }
        };
        let level = &self.log.level;
        range(
            "log.level",
            format!("{level:?}"),
            is_level(level),
            "off, error, warn, info, debug, trace, or directives such as edgewise_origin=debug",
        )?;
        for origin in &self.serve.allow_origins {
            range(
                "serve.allow_origins",
                format!("{origin:?}"),
                is_origin(origin),
                "`*` or an origin as browsers send it, such as https://app.example or \
                 http://localhost:3000, without a path",
            )?;
        }
        let speed = self.clock.speed;
        range(
            "clock.speed",
            speed.to_string(),
            speed > 0.0 && speed <= 1e6,
            "above 0, up to 1000000",
        )?;
        let rate = limits.rate_per_s;
        range(
            "limits.rate_per_s",
            rate.to_string(),
            (0.0..=1e6).contains(&rate),
            "0 to 1000000",
        )?;
        range(
            "limits.rate_burst",
            limits.rate_burst.to_string(),
            (1..=1_000_000).contains(&limits.rate_burst),
            "1 to 1000000",
        )?;
        range(
            "limits.connections",
            limits.connections.to_string(),
            (1..=1_000_000).contains(&limits.connections),
            "1 to 1000000",
        )?;
        range(
            "limits.connections_per_client",
            limits.connections_per_client.to_string(),
            (1..=1_000_000).contains(&limits.connections_per_client),
            "1 to 1000000",
        )?;
        range(
            "limits.store_concurrency",
            limits.store_concurrency.to_string(),
            (1..=512).contains(&limits.store_concurrency),
            "1 to 512",
        )?;
        range(
            "store.cache_mb",
            self.store.cache_mb.to_string(),
            (8..=1_048_576).contains(&self.store.cache_mb),
            "8 to 1048576",
        )?;
        for (key, given) in [
            ("limits.request_timeout_ms", limits.request_timeout_ms),
            ("limits.header_timeout_ms", limits.header_timeout_ms),
            ("limits.drain_ms", limits.drain_ms),
        ] {
            range(
                key,
                given.to_string(),
                (1..=600_000).contains(&given),
                "1 to 600000",
            )?;
        }
        Ok(())
    }

    /// Whether the `user` parameter counts without a token: as configured, else only where
    /// nobody but this machine reaches the public listener.
    #[must_use]
    pub fn plain_user(&self) -> PlainUser {
        let is_local = self.serve.listen.ip().is_loopback();
        self.auth.plain_user.unwrap_or(if is_local {
            PlainUser::Allow
        } else {
            PlainUser::Deny
        })
    }

    /// The ranking configuration that serves: the file's, else the seed's.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not a valid ranking configuration.
    pub fn ranking_config(&self) -> Result<RankingConfig, ConfigError> {
        let Some(path) = &self.ranking.config else {
            return Ok(RankingConfig::default());
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            what: "ranking configuration",
            path: path.clone(),
            source,
        })?;
        RankingConfig::from_json(&text).map_err(|error| ConfigError::Ranking {
            path: path.clone(),
            reason: error.to_string(),
        })
    }
}

/// Whether logs can be filtered by `text`. The filter itself takes any word for the name of a
/// module, so that a misspelt level would be silence.
fn is_level(text: &str) -> bool {
    let known = |part: &str| {
        part.contains(['=', '['])
            || part
                .parse::<tracing_subscriber::filter::LevelFilter>()
                .is_ok()
    };
    text.split(',')
        .all(|part| !part.trim().is_empty() && known(part.trim()))
        && EnvFilter::try_new(text).is_ok()
}

/// Whether `text` is `*` or what a browser sends as `Origin`: `scheme://host[:port]`.
fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let named = || host.bytes().all(|b| is_lower(b) || b"-._".contains(&b));
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && named(),
    };
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|b| is_lower(b) || b"+-.".contains(&b))
        && is_host
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), toml).expect("written");
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(
            Some(file.path()),
            environment.collect::<Vec<_>>().into_iter(),
        )
    }

    #[test]
    fn environment_goes_over_file_and_file_over_defaults() {
        let toml = "[serve]\nlisten = \"127.0.0.1:7000\"\nadmin_listen = \"127.0.0.1:7001\"\n";
        let environment = [
            ("EDGEWISE_SERVE__LISTEN", "127.0.0.1:7100"),
            (
                "EDGEWISE_SERVE__ALLOW_ORIGINS",
                "https://a.example, https://b.example",
            ),
            ("EDGEWISE_LIMITS__RATE_PER_S", "2.5"),
            ("EDGEWISE_AUTH__PLAIN_USER", "deny"),
            ("EDGEWISE_AUTH__ADMIN_TOKEN", "000123"),
            ("EDGEWISE_WASM", "x.wasm"),
            ("EDGEWISE_SOURCE_MAIN__URL", "postgres://app:secret@db/shop"),
            ("EDGEWISE_STORE__CACHE_MB", "48"),
            ("HOME", "/nowhere"),
        ];
        let config = load(toml, &environment).expect("valid");
        assert_eq!(config.serve.listen.port(), 7100);
        assert_eq!(config.serve.admin_listen.port(), 7001);
        assert_eq!(
            config.serve.allow_origins,
            ["https://a.example", "https://b.example"]
        );
        assert!((config.limits.rate_per_s - 2.5).abs() < f64::EPSILON);
        assert_eq!(config.auth.plain_user, Some(PlainUser::Deny));
        assert_eq!(config.auth.admin_token.as_deref(), Some("000123"));
        assert_eq!(config.limits.drain_ms, 10_000);
        assert_eq!(config.store.cache_mb, 48);
        config.validate().expect("in range");
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = load("[serve]\nlistne = \"x\"\n", &[])
            .expect_err("refused")
            .to_string();
        assert!(error.contains("listne"), "{error}");
        let error = load("[sevre]\n", &[]).expect_err("refused").to_string();
        assert!(error.contains("sevre"), "{error}");
        let environment = [("EDGEWISE_LIMITS__RATE", "1")];
        let error = load("", &environment).expect_err("refused").to_string();
        assert!(error.contains("rate"), "{error}");
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let config = load("[clock]\nspeed = -1\n", &[]).expect("the shape is right");
        let error = config.validate().expect_err("refused").to_string();
        assert!(
            error.contains("clock.speed") && error.contains("above 0"),
            "{error}"
        );
    }

    #[test]
    fn texts_that_mean_nothing_are_named() {
        let validated = |toml: &str| load(toml, &[]).expect("the shape is right").validate();
        for level in ["inof", "", "info,warm", "edgewise_origin=loud"] {
            let error = validated(&format!("[log]\nlevel = \"{level}\"\n"));
            let error = error.expect_err(level).to_string();
            assert!(
                error.contains("log.level") && error.contains("trace"),
                "{error}"
            );
        }
        for level in ["info", "WARN", "off", "info,edgewise_origin=debug"] {
            validated(&format!("[log]\nlevel = \"{level}\"\n")).expect(level);
        }
        let origins = |origin: &str| format!("[serve]\nallow_origins = [\"{origin}\"]\n");
        for origin in [
            "app.example",
            "https://app.example/",
            "https://App.example",
            "https://",
            "https://a b",
            "https://a:99999",
            "null",
        ] {
            let error = validated(&origins(origin)).expect_err(origin).to_string();
            assert!(error.contains("serve.allow_origins"), "{error}");
        }
        for origin in [
            "*",
            "https://app.example",
            "http://[::1]:3000",
            "capacitor://localhost",
        ] {
            validated(&origins(origin)).expect(origin);
        }
    }

    #[test]
    fn errors_say_the_cause_once_and_what_is_allowed() {
        let printed = |toml: &str| {
            let error = anyhow::Error::from(load(toml, &[]).expect_err("refused"));
            format!("{error:#}")
        };
        for (toml, given, allowed) in [
            ("[log]\nformat = \"xml\"\n", "xml", "text or json"),
            ("[auth]\nplain_user = \"maybe\"\n", "maybe", "allow or deny"),
            ("[serve]\nlistne = \"x\"\n", "listne", "admin_listen"),
            (
                "[serve]\nlisten = \"x\"\n",
                "serve.listen",
                "socket address",
            ),
        ] {
            let error = printed(toml);
            assert_eq!(error.matches(given).count(), 1, "{error}");
            assert!(error.contains(allowed), "{error}");
        }
    }

    #[test]
    fn a_missing_named_file_is_an_error() {
        let error = Config::load(
            Some(Path::new("/nowhere/edgewise.toml")),
            std::iter::empty(),
        );
        assert!(
            error
                .expect_err("refused")
                .to_string()
                .contains("/nowhere/edgewise.toml")
        );
    }
}
