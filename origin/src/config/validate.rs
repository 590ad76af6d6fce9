//! What the shapes of the values cannot say: ranges, and texts that mean nothing.

use tracing_subscriber::EnvFilter;

use super::{Config, ConfigError};

impl Config {
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
