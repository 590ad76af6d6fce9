//! Values of `Cache-Control` (RFC 9111), `CDN-Cache-Control` (RFC 9213), `Cache-Status`
//! (RFC 9211) and `X-Cache-Status`.

use alloc::format;
use alloc::string::String;

use crate::cache_status::Handling;
use crate::decide::Reason;
use crate::lifetime::Lifetime;

/// What the cache did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from what was stored and fresh.
    Hit,
    /// Answered from what was stored and no longer fresh.
    Stale,
    /// Asked the origin.
    Miss,
}

/// `Cache-Control`: what the browser may do.
#[must_use]
pub fn cache_control(lifetime: &Lifetime) -> String {
    match (lifetime.private, lifetime.browser_s) {
        (true, _) => String::from("private, no-store"),
        (false, 0) => String::from("public, no-cache"),
        (false, browser_s) => format!("public, max-age={browser_s}"),
    }
}

/// `CDN-Cache-Control`: what a shared cache may do; `None` where it may not keep anything.
#[must_use]
pub fn cdn_cache_control(lifetime: &Lifetime) -> Option<String> {
    if lifetime.private {
        return None;
    }
    let mut value = format!("max-age={}", lifetime.fresh_s);
    let stale_s = lifetime.stale_s.saturating_sub(lifetime.fresh_s);
    if stale_s > 0 {
        value.push_str(&format!(", stale-while-revalidate={stale_s}"));
    }
    let error_s = lifetime.error_s.saturating_sub(lifetime.fresh_s);
    if error_s > 0 {
        value.push_str(&format!(", stale-if-error={error_s}"));
    }
    Some(value)
}

/// `Cache-Status` of the cache `edgewise`: a hit with the seconds it stays fresh (negative
/// once stale), or a forward with its reason; `key` names what was looked up.
#[must_use]
pub fn cache_status(status: CacheStatus, ttl_s: i64, key: Option<&str>) -> String {
    let handling = match status {
        CacheStatus::Hit | CacheStatus::Stale => Handling {
            ttl_s: Some(ttl_s),
            key,
            ..Handling::default()
        },
        CacheStatus::Miss => Handling {
            forwarded: Some(Reason::UriMiss),
            key,
            ..Handling::default()
        },
    };
    handling.value()
}

/// `X-Cache-Status`, for older dashboards.
#[must_use]
pub const fn x_cache_status(status: CacheStatus) -> &'static str {
    match status {
        CacheStatus::Hit => "HIT",
        CacheStatus::Stale => "STALE",
        CacheStatus::Miss => "MISS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_kept_by_nobody() {
        assert_eq!(cache_control(&Lifetime::FEED), "private, no-store");
        assert_eq!(cdn_cache_control(&Lifetime::FEED), None);
        assert_eq!(cache_control(&Lifetime::SUGGESTED), "private, no-store");
    }

    #[test]
    fn shared_answers_say_how_long_browsers_and_caches_keep_them() {
        assert_eq!(cache_control(&Lifetime::SIMILAR), "public, max-age=120");
        assert_eq!(cache_control(&Lifetime::HOT), "public, max-age=5");
        assert_eq!(
            cdn_cache_control(&Lifetime::HOT).as_deref(),
            Some("max-age=60, stale-while-revalidate=240, stale-if-error=86340")
        );
        assert_eq!(
            cdn_cache_control(&Lifetime::ITEMS).as_deref(),
            Some("max-age=300, stale-if-error=86100")
        );
    }

    #[test]
    fn cache_status_is_a_structured_field() {
        assert_eq!(
            cache_status(CacheStatus::Hit, 42, None),
            "edgewise; hit; ttl=42"
        );
        assert_eq!(
            cache_status(CacheStatus::Stale, -7, Some("hot?tag=\"é\\")),
            "edgewise; hit; ttl=-7; key=\"hot?tag=\\\"?\\\\\""
        );
        assert_eq!(
            cache_status(CacheStatus::Miss, 0, Some("k\r\nx: y")),
            "edgewise; fwd=uri-miss; key=\"k??x: y\""
        );
        assert_eq!(x_cache_status(CacheStatus::Stale), "STALE");
    }
}
