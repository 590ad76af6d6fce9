//! What the options and secrets make, checked before anything starts.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};
use edgewise_edge_core::Config;
use hyper::header::HeaderValue;

use crate::cli::{ApiOptions, Permission};
use crate::limits::SECRET_BYTES_MAX;

/// Variable of the origin's admin token.
const ADMIN_TOKEN: &str = "EDGEWISE_ADMIN_TOKEN";
/// Variable of the token keys.
const TOKEN_KEYS: &str = "EDGEWISE_TOKEN_KEYS";

/// Secrets and the core's configuration; never logged.
pub(crate) struct Settings {
    /// JSON of the core's configuration.
    pub(crate) core: String,
    /// `Bearer` and the origin's admin token.
    pub(crate) bearer: HeaderValue,
}

impl Settings {
    /// Reads the secrets and tries the core's configuration.
    ///
    /// # Errors
    /// A sentence names what is missing or wrong, never its value.
    pub(crate) fn read(options: &ApiOptions) -> anyhow::Result<Self> {
        let secret = |variable, file: &Option<_>| secret(variable, file.as_deref());
        let token = secret(ADMIN_TOKEN, &options.admin_token_file)?;
        let keys = secret(TOKEN_KEYS, &options.token_keys_file)?;
        Self::of(options, &token, &keys)
    }

    fn of(options: &ApiOptions, token: &str, keys: &str) -> anyhow::Result<Self> {
        ensure!(
            token.bytes().all(|byte| byte.is_ascii_graphic()),
            "{ADMIN_TOKEN} must have visible ASCII characters only"
        );
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        let cors_origins: Vec<&str> = options
            .cors_origins
            .iter()
            .map(|origin| origin.trim())
            .filter(|origin| !origin.is_empty())
            .collect();
        let core = serde_json::json!({
            "keys": keys,
            "plain_user": options.plain_user == Permission::Allow,
            "offline": options.offline == Permission::Allow,
            "rate_per_s": options.rate_per_s,
            "coalesces": true,
            "cors_origins": cors_origins,
            "build": concat!("native ", env!("CARGO_PKG_VERSION")),
        })
        .to_string();
        Config::from_json(core.as_bytes())
            .map_err(|error| anyhow::anyhow!("the configuration is refused: {error}"))?;
        Ok(Self { core, bearer })
    }
}

/// The variable's text, else the file's.
fn secret(variable: &str, file: Option<&Path>) -> anyhow::Result<String> {
    if let Some(path) = file {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
            .with_context(|| format!("{variable}: {} cannot be read", path.display()))?;
        let text = text.trim();
        ensure!(!text.is_empty(), "{variable}: {} is empty", path.display());
        return Ok(text.to_owned());
    }
    let text = std::env::var(variable).unwrap_or_default();
    ensure!(
        !text.trim().is_empty(),
        "{variable} is not set; it must be what the origin has (or name a file of it)"
    );
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    const KEYS: &str = "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn options(arguments: &[&str]) -> ApiOptions {
        let command = ApiOptions::augment_args(clap::Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).expect("options");
        ApiOptions::from_arg_matches(&matches).expect("options")
    }

    #[test]
    fn a_refusal_names_what_is_wrong_and_not_its_value() {
        assert!(Settings::of(&options(&[]), "token", KEYS).is_ok());
        for (token, keys, named) in [
            ("un\nsayable", KEYS, "EDGEWISE_ADMIN_TOKEN"),
            ("unsayable", "secretkey", "token keys"),
        ] {
            let error = Settings::of(&options(&[]), token, keys)
                .err()
                .expect("refused");
            let said = format!("{error:#}");
            assert!(said.contains(named), "{said}");
            assert!(!said.contains(token) && !said.contains(keys), "{said}");
        }
    }

    #[test]
    fn the_core_gets_what_the_worker_gives_it() {
        let given = options(&[
            "--plain-user",
            "allow",
            "--cors-origins",
            "https://a, ,https://b",
        ]);
        let settings = Settings::of(&given, "token", KEYS).expect("right");
        let core: serde_json::Value = serde_json::from_str(&settings.core).expect("JSON");
        assert_eq!(
            core["cors_origins"],
            serde_json::json!(["https://a", "https://b"])
        );
        assert_eq!(
            (&core["plain_user"], &core["offline"]),
            (&true.into(), &true.into())
        );
    }
}
