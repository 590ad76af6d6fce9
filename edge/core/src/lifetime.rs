//! How long each resource lives in which tier.

use edgewise_cache::Lifetime;

use crate::resource::Resource;

/// A 404 of the origin is believed this long.
pub(crate) const ABSENT_MS: i64 = 10_000;
/// At most one write to KV a key in this time (KV takes one a second and key, and every
/// write costs).
pub(crate) const KV_PUT_EVERY_MS: i64 = 60_000;
/// Pools and hot lists are fetched ahead this often while there is traffic.
pub(crate) const PREFETCH_EVERY_MS: i64 = 60_000;

/// Scores of a hot list are of moments this far apart (the list's lifetime in a browser).
pub(crate) const HOT_STEP_MS: i64 = 5_000;

/// The overlay is looked for after 1 s, waited for after 3 s, and better than none for as
/// long as anything stored is.
const OVERLAY: Lifetime = Lifetime {
    stale_s: 3,
    ..Lifetime::OVERLAY
};

/// A model is immutable.
const MODEL: Lifetime = Lifetime {
    fresh_s: 86_400,
    stale_s: 86_400,
    error_s: 86_400,
    ..Lifetime::OVERLAY
};

/// The lifetime of a resource.
pub(crate) const fn of(resource: &Resource) -> Lifetime {
    match resource {
        Resource::Bundle { .. } | Resource::Pool { .. } => Lifetime::FEED,
        Resource::Hot(_) => Lifetime::HOT,
        Resource::Similar { .. } => Lifetime::SIMILAR,
        Resource::Suggested { .. } => Lifetime::SUGGESTED,
        Resource::Items { .. } => Lifetime::ITEMS,
        Resource::Overlay => OVERLAY,
        Resource::Model { .. } => MODEL,
    }
}
