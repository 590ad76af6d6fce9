//! Lifetimes of what is stored, and what an age means.

/// How long an answer or a stored object may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Up to this age it is served as it is, seconds.
    pub fresh_s: u32,
    /// Up to this age it is served while a newer one is fetched, seconds.
    pub stale_s: u32,
    /// Up to this age it is served where no newer one can be had, seconds.
    pub error_s: u32,
    /// How long a browser keeps the answer, seconds; 0 is not at all.
    pub browser_s: u32,
    /// The answer is personal: no shared cache may keep it.
    pub private: bool,
}

/// 24 h, in seconds.
const DAY_S: u32 = 86_400;

impl Lifetime {
    /// Candidate bundles; feed answers are `private, no-store`.
    pub const FEED: Self = Self {
        fresh_s: 60,
        stale_s: 600,
        error_s: DAY_S,
        browser_s: 0,
        private: true,
    };
    /// Hot lists; the overlay reorders them, so a browser asks again after 5 s.
    pub const HOT: Self = Self {
        fresh_s: 60,
        stale_s: 300,
        error_s: DAY_S,
        browser_s: 5,
        private: false,
    };
    /// Similar items.
    pub const SIMILAR: Self = Self {
        fresh_s: 180,
        stale_s: 180,
        error_s: DAY_S,
        browser_s: 120,
        private: false,
    };
    /// Suggested users.
    pub const SUGGESTED: Self = Self {
        fresh_s: 600,
        stale_s: 600,
        error_s: DAY_S,
        browser_s: 0,
        private: true,
    };
    /// Items.
    pub const ITEMS: Self = Self {
        fresh_s: 300,
        stale_s: 300,
        error_s: DAY_S,
        browser_s: 60,
        private: false,
    };
    /// The overlay: about a second old at each edge location.
    pub const OVERLAY: Self = Self {
        fresh_s: 1,
        stale_s: 5,
        error_s: DAY_S,
        browser_s: 0,
        private: false,
    };
}

/// What may be done with something of a certain age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it and fetch a newer one.
    Stale,
    /// Serve it only where no newer one can be had.
    ErrorOnly,
    /// Do not serve it.
    Expired,
}

impl Lifetime {
    /// What may be done with something of `age_ms`; an age below zero is fresh.
    #[must_use]
    pub const fn state(&self, age_ms: i64) -> Freshness {
        if age_ms <= ms(self.fresh_s) {
            Freshness::Fresh
        } else if age_ms <= ms(self.stale_s) {
            Freshness::Stale
        } else if age_ms <= ms(self.error_s) {
            Freshness::ErrorOnly
        } else {
            Freshness::Expired
        }
    }

    /// Seconds it stays fresh at `age_ms`; negative once it is not.
    #[must_use]
    pub const fn ttl_s(&self, age_ms: i64) -> i64 {
        ms(self.fresh_s).saturating_sub(age_ms) / 1_000
    }
}

/// See [`Lifetime::state`].
#[must_use]
pub const fn state(lifetime: &Lifetime, age_ms: i64) -> Freshness {
    lifetime.state(age_ms)
}

const fn ms(seconds: u32) -> i64 {
    seconds as i64 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lifetime: Lifetime, age_s: i64, expected: Freshness) {
        assert_eq!(lifetime.state(age_s * 1_000), expected, "at {age_s} s");
    }

    #[test]
    fn a_bundle_ages_from_fresh_to_expired() {
        check(Lifetime::FEED, -5, Freshness::Fresh);
        check(Lifetime::FEED, 60, Freshness::Fresh);
        check(Lifetime::FEED, 61, Freshness::Stale);
        check(Lifetime::FEED, 600, Freshness::Stale);
        check(Lifetime::FEED, 601, Freshness::ErrorOnly);
        check(Lifetime::FEED, 86_400, Freshness::ErrorOnly);
        check(Lifetime::FEED, 86_401, Freshness::Expired);
    }

    #[test]
    fn what_has_no_stale_window_goes_from_fresh_to_error_only() {
        check(Lifetime::SIMILAR, 180, Freshness::Fresh);
        check(Lifetime::SIMILAR, 181, Freshness::ErrorOnly);
        check(Lifetime::ITEMS, 301, Freshness::ErrorOnly);
    }

    #[test]
    fn the_remaining_time_goes_below_zero() {
        assert_eq!(Lifetime::HOT.ttl_s(10_000), 50);
        assert_eq!(Lifetime::HOT.ttl_s(90_000), -30);
        assert_eq!(Lifetime::HOT.ttl_s(i64::MIN), i64::MAX / 1_000);
    }
}
