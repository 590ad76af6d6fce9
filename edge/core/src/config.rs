//! The core's configuration, given once by the host.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_wire::keys::Keys;
use serde::Deserialize;
use serde_json::Value;

/// Why a configuration was refused; the sentence goes to the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON of the documented shape.
    #[error("configuration is not readable: {0}")]
    Json(serde_json::Error),
    /// Token keys that cannot be used.
    #[error("token keys are not usable: {0}")]
    Keys(String),
    /// A number outside its range.
    #[error("{field} must be {allowed}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
}

/// How the edge behaves.
#[derive(Debug)]
pub struct Config {
    /// Signs and verifies cursors, sessions and JWTs.
    pub keys: Keys,
    /// Whether the `user` parameter counts without a JWT.
    pub plain_user: bool,
    /// Whether packs are handed out (`/api/v1/feed/offline`): they hold the model.
    pub offline: bool,
    /// Wait for the origin at most this long where an older value can be served.
    pub origin_budget_ms: u32,
    /// ... where only a lower rung of the ladder can be served.
    pub origin_first_budget_ms: u32,
    /// ... where nothing can be served.
    pub origin_cold_budget_ms: u32,
    /// Background refreshes wait this long.
    pub refresh_timeout_ms: u32,
    /// Requests a second a client (user or address) may make; 0 is any number.
    pub rate_per_s: u32,
    /// Requests a client may make at once.
    pub rate_burst: u32,
    /// Origins browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// What the host wants named at `/version`, e.g. the hash of `edge.wasm`.
    pub build: String,
}

/// The JSON as the host writes it.
#[derive(Deserialize)]
#[serde(default)]
struct Raw {
    keys: String,
    plain_user: Switch,
    offline: bool,
    origin_budget_ms: u32,
    origin_first_budget_ms: u32,
    origin_cold_budget_ms: u32,
    refresh_timeout_ms: u32,
    rate_per_s: u32,
    rate_burst: u32,
    cors_origins: Vec<String>,
    build: String,
}

/// `true`/`false`, or `"allow"`/`"deny"` as in `EDGEWISE_PLAIN_USER`.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
enum Switch {
    Bool(bool),
    Word(String),
}

impl TryFrom<Value> for Switch {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::Bool(on) => Ok(Self::Bool(on)),
            Value::String(word) => Ok(Self::Word(word)),
            _ => Err("a switch is true, false, \"allow\" or \"deny\""),
        }
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            keys: String::new(),
            plain_user: Switch::Bool(false),
            offline: true,
            origin_budget_ms: 80,
            origin_first_budget_ms: 250,
            origin_cold_budget_ms: 2_000,
            refresh_timeout_ms: 2_000,
            rate_per_s: 0,
            rate_burst: 50,
            cors_origins: alloc::vec!["*".to_string()],
            build: String::new(),
        }
    }
}

impl Config {
    /// Reads the JSON of `edge_init`; every field but `keys` has a default.
    ///
    /// # Errors
    /// Names what is unreadable or out of range.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let raw: Raw = serde_json::from_slice(json).map_err(ConfigError::Json)?;
        let keys = Keys::parse(&raw.keys).map_err(|error| ConfigError::Keys(error.to_string()))?;
        let budgets = [
            ("origin_budget_ms", raw.origin_budget_ms),
            ("origin_first_budget_ms", raw.origin_first_budget_ms),
            ("origin_cold_budget_ms", raw.origin_cold_budget_ms),
            ("refresh_timeout_ms", raw.refresh_timeout_ms),
        ];
        for (field, value) in budgets {
            if !(1..=30_000).contains(&value) {
                return Err(ConfigError::Range {
                    field,
                    allowed: "1..=30000",
                });
            }
        }
        if raw.cors_origins.len() > 64 {
            return Err(ConfigError::Range {
                field: "cors_origins",
                allowed: "at most 64 origins",
            });
        }
        Ok(Self {
            keys,
            offline: raw.offline,
            plain_user: match raw.plain_user {
                Switch::Bool(on) => on,
                Switch::Word(word) => word == "allow",
            },
            origin_budget_ms: raw.origin_budget_ms,
            origin_first_budget_ms: raw.origin_first_budget_ms,
            origin_cold_budget_ms: raw.origin_cold_budget_ms,
            refresh_timeout_ms: raw.refresh_timeout_ms,
            rate_per_s: raw.rate_per_s,
            rate_burst: raw.rate_burst,
            cors_origins: raw.cors_origins,
            build: raw.build,
        })
    }
}
