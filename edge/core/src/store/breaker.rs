//! The circuit breaker before the origin: a hung origin must not cost every request its budget.

/// Failures in a row that open it.
const FAILURES_TO_OPEN: u32 = 3;
/// First pause, doubled by every failed probe.
const PAUSE_MIN_MS: i64 = 1_000;
/// Longest pause.
const PAUSE_MAX_MS: i64 = 10_000;
/// A probe that nobody reported on is forgotten after this.
const PROBE_MAX_MS: i64 = 5_000;

/// Whether the origin is asked at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    failures: u32,
    pause_ms: i64,
    open_until_ms: i64,
    /// When the current probe was let through.
    probe_at_ms: Option<i64>,
}

impl Breaker {
    /// API name of the state: `closed open half-open`.
    pub(crate) fn name(&self, wall_ms: i64) -> &'static str {
        if !self.is_open() {
            "closed"
        } else if wall_ms < self.open_until_ms {
            "open"
        } else {
            "half-open"
        }
    }

    /// Whether the last requests failed, so that waiting is not worth it.
    pub(crate) fn is_open(&self) -> bool {
        self.failures >= FAILURES_TO_OPEN
    }

    /// Whether the last request failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Whether a request may go to the origin now; in the half-open state one at a time.
    pub(crate) fn admit(&mut self, wall_ms: i64) -> bool {
        if !self.is_open() {
            return true;
        }
        if wall_ms < self.open_until_ms {
            return false;
        }
        match self.probe_at_ms {
            Some(at_ms) if (0..PROBE_MAX_MS).contains(&(wall_ms - at_ms)) => false,
            _ => {
                self.probe_at_ms = Some(wall_ms);
                true
            }
        }
    }

    /// The origin answered, whatever it said (but for 5xx and 429).
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The origin failed or was too late.
    pub(crate) fn failed(&mut self, wall_ms: i64) {
        self.failures = self.failures.saturating_add(1);
        if !self.is_open() {
            return;
        }
        // Stragglers from before it opened must not lengthen the pause.
        if wall_ms < self.open_until_ms {
            return;
        }
        self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_MIN_MS, PAUSE_MAX_MS);
        self.open_until_ms = wall_ms.saturating_add(self.pause_ms);
        self.probe_at_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_three_failures_and_probes_once() {
        let mut breaker = Breaker::default();
        for _ in 0..2 {
            breaker.failed(0);
        }
        assert!(breaker.admit(0));
        breaker.failed(0);
        assert!(!breaker.admit(999));
        assert_eq!(breaker.name(999), "open");
        assert!(breaker.admit(1_000), "the probe");
        assert!(!breaker.admit(1_001), "a single one");
        breaker.failed(1_080);
        assert!(!breaker.admit(3_079), "the pause doubles");
        assert!(breaker.admit(3_080));
        assert!(breaker.admit(8_080), "a lost probe is replaced");
        breaker.succeeded();
        assert!(breaker.admit(8_081) && breaker.admit(8_081));
    }

    #[test]
    fn the_pause_is_bounded_and_stragglers_do_not_count() {
        let mut breaker = Breaker::default();
        let mut now_ms = 0;
        for _ in 0..20 {
            breaker.failed(now_ms);
            now_ms = breaker.open_until_ms.max(now_ms);
        }
        assert_eq!(breaker.pause_ms, PAUSE_MAX_MS);
        let until_ms = breaker.open_until_ms;
        breaker.failed(until_ms - 1);
        assert_eq!(breaker.open_until_ms, until_ms);
    }
}
