//! The tiers: isolate memory, the data centre's cache, the global key-value store, the origin.

pub(crate) mod breaker;
pub(crate) mod crowd;
pub(crate) mod envelope;
pub(crate) mod lease;
pub(crate) mod load;
pub(crate) mod memory;

use edgewise_cache::Freshness;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// The data centre's cache.
    Cache,
    /// The global key-value store.
    Kv,
    /// The origin.
    Origin,
}

/// What memory knows of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing that may be served.
    Missing,
    /// The origin knows of no such thing.
    Absent,
    /// A value.
    Have {
        /// Never `Expired`.
        freshness: Freshness,
        /// How long ago it was current.
        age_ms: i64,
    },
}

impl Look {
    /// Whether it answers without waiting.
    pub(crate) const fn is_ready(self) -> bool {
        matches!(
            self,
            Self::Absent
                | Self::Have {
                    freshness: Freshness::Fresh | Freshness::Stale,
                    ..
                }
        )
    }

    /// Whether there is no need to refresh it.
    pub(crate) const fn is_fresh(self) -> bool {
        matches!(
            self,
            Self::Absent
                | Self::Have {
                    freshness: Freshness::Fresh,
                    ..
                }
        )
    }

    /// Whether it answers where nothing better can be had.
    pub(crate) const fn is_usable(self) -> bool {
        matches!(self, Self::Have { .. })
    }
}
