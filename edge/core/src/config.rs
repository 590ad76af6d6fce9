//! The core's configuration, given once by the host.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_wire::json;
use edgewise_wire::keys::Keys;
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
    /// A field of another type, or a number outside its range.
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
    /// Whether the host makes one origin request of simultaneous ones for one path: then nobody
    /// waits long for whoever asked first, who may be gone.
    pub coalesces: bool,
    /// Requests a second a client (user or address) may make; 0 is any number.
    pub rate_per_s: u32,
    /// Requests a client may make at once.
    pub rate_burst: u32,
    /// Origins browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// What the host wants named at `/version`, e.g. the hash of `edge.wasm`.
    pub build: String,
}

impl Config {
    /// Reads the JSON of `edge_init`; every field but `keys` has a default.
    ///
    /// # Errors
    /// Names what is unreadable or out of range.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let given = Given(json::value(json).map_err(ConfigError::Json)?);
        if !given.0.is_object() {
            return Err(range("the configuration", "an object"));
        }
        let keys = given.text("keys")?.unwrap_or_default();
        let keys = Keys::parse(keys).map_err(|error| ConfigError::Keys(error.to_string()))?;
        let plain_user = given.switch("plain_user", false)?;
        let offline = given.switch("offline", true)?;
        let cors_origins = given.texts("cors_origins")?;
        let cors_origins = cors_origins.unwrap_or_else(|| alloc::vec!["*".to_string()]);
        if cors_origins.len() > 64 {
            return Err(range("cors_origins", "at most 64 origins"));
        }
        Ok(Self {
            keys,
            plain_user,
            offline,
            origin_budget_ms: given.budget_ms("origin_budget_ms", 80)?,
            origin_first_budget_ms: given.budget_ms("origin_first_budget_ms", 250)?,
            origin_cold_budget_ms: given.budget_ms("origin_cold_budget_ms", 2_000)?,
            refresh_timeout_ms: given.budget_ms("refresh_timeout_ms", 2_000)?,
            coalesces: given.switch("coalesces", false)?,
            rate_per_s: given.whole("rate_per_s", 0)?,
            rate_burst: given.whole("rate_burst", 50)?,
            cors_origins,
            build: given.text("build")?.unwrap_or_default().to_string(),
        })
    }
}

/// The JSON as the host writes it.
struct Given(Value);

impl Given {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    fn text(&self, field: &'static str) -> Result<Option<&str>, ConfigError> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => value
                .as_str()
                .map(Some)
                .ok_or_else(|| range(field, "a text")),
        }
    }

    fn switch(&self, field: &'static str, default: bool) -> Result<bool, ConfigError> {
        match self.get(field) {
            None => Ok(default),
            Some(Value::Bool(on)) => Ok(*on),
            Some(Value::String(word)) => Ok(word == "allow"),
            Some(_) => Err(range(field, "true, false, \"allow\" or \"deny\"")),
        }
    }

    fn whole(&self, field: &'static str, default: u32) -> Result<u32, ConfigError> {
        let Some(value) = self.get(field) else {
            return Ok(default);
        };
        let whole = value.as_u64().and_then(|whole| u32::try_from(whole).ok());
        whole.ok_or_else(|| range(field, "a whole number below 2^32"))
    }

    fn budget_ms(&self, field: &'static str, default_ms: u32) -> Result<u32, ConfigError> {
        let budget_ms = self.whole(field, default_ms)?;
        if (1..=30_000).contains(&budget_ms) {
            Ok(budget_ms)
        } else {
            Err(range(field, "1..=30000"))
        }
    }

    fn texts(&self, field: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let text = |value: &Value| value.as_str().map(String::from);
        let texts = value
            .as_array()
            .and_then(|values| values.iter().map(text).collect());
        texts
            .map(Some)
            .ok_or_else(|| range(field, "an array of texts"))
    }
}

fn range(field: &'static str, allowed: &'static str) -> ConfigError {
    ConfigError::Range { field, allowed }
}
