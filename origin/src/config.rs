//! Configuration: defaults < `edgewise.toml` < `EDGEWISE_SECTION__KEY` < flags.

mod sections;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use edgewise_ranking::config::{FORMULA, VECTORS};
use edgewise_ranking::feature::index_of;
use edgewise_ranking::trees::Forest;
use edgewise_ranking::{Head, RankingConfig};
use edgewise_wire::import::import;
use serde::Deserialize;

pub use self::sections::{
    AuthConfig, ClockConfig, LimitsConfig, LogConfig, LogFormat, PlainUser, RankingSection,
    ReplicateConfig, ServeConfig, StoreConfig,
};
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
    /// A model file is refused.
    #[error("the model `{path}` of ranking.heads.{name} is refused: {reason}")]
    Model {
        /// The objective.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
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

    /// The trees that the configuration's blend names, by objective.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not a model that edges can rank with.
    pub fn heads(&self) -> Result<Vec<Head>, ConfigError> {
        let heads = self.ranking.heads.iter();
        heads.map(|(name, path)| head(name, path)).collect()
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

/// Reads a model file whose features are named as in the feature table.
///
/// # Errors
///
/// It cannot be read, or is not a model that edges can rank with.
pub fn head(name: &str, path: &Path) -> Result<Head, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Unreadable {
        what: "model",
        path: path.to_owned(),
        source,
    })?;
    let refused = |reason: String| ConfigError::Model {
        name: name.to_owned(),
        path: path.to_owned(),
        reason,
    };
    if [FORMULA, VECTORS].contains(&name) {
        return Err(refused(format!(
            "{name} is a head of its own; name the objective otherwise"
        )));
    }
    let imported = import(&bytes, &index_of).map_err(|error| refused(error.to_string()))?;
    let forest = Forest::new(imported.ensemble).map_err(|error| refused(error.to_string()))?;
    Ok(Head {
        name: name.to_owned(),
        forest,
    })
}
