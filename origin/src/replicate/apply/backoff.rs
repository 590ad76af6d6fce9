//! How often something that fails or must not be overrun is tried: pauses, a breaker, a rate.

use std::time::Duration;

/// Doublings after which the ceiling of a pause no longer grows, whatever its bounds.
const DOUBLINGS_MAX: u32 = 32;

/// Exponential backoff with full jitter above a floor: many that failed together do not come
/// back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses from `min` to `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            failures: 0,
        }
    }

    /// The pause before the next try: random from `min` to a ceiling that doubles up to `max`.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> Duration {
        self.next_with(rand::random::<f64>())
    }

    /// As [`Backoff::next`], with a draw from 0 to 1.
    pub fn next_with(&mut self, draw: f64) -> Duration {
        self.failures = self.failures.saturating_add(1).min(DOUBLINGS_MAX);
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let ceiling = self.min.saturating_mul(factor).min(self.max);
        self.min + (ceiling - self.min).mul_f64(draw.clamp(0.0, 1.0))
    }

    /// Something went well: the next pause is short again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// What a [`CircuitBreaker`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Everything passes.
    Closed,
    /// Nothing passes until the pause is over.
    Open,
    /// One try is under way that decides.
    HalfOpen,
}

/// Stops asking a server that keeps failing, and lets one try through after a pause. Time is an
/// argument: since any fixed moment.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    failures_max: u32,
    pause: Duration,
    failures: u32,
    opened: Option<Duration>,
    is_trying: bool,
    opened_total: u64,
}

impl CircuitBreaker {
    /// Opens after `failures_max` failures in a row, for `pause`.
    #[must_use]
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        Self {
            failures_max: failures_max.max(1),
            pause,
            failures: 0,
            opened: None,
            is_trying: false,
            opened_total: 0,
        }
    }

    /// Whether a try may be made now; after the pause one may, until it ended.
    pub fn allows(&mut self, now: Duration) -> bool {
        let Some(opened) = self.opened else {
            return true;
        };
        if self.is_trying || now < opened + self.pause {
            return false;
        }
        self.is_trying = true;
        true
    }

    /// A try went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.opened = None;
        self.is_trying = false;
    }

    /// A try failed.
    pub fn failed(&mut self, now: Duration) {
        self.failures = self.failures.saturating_add(1);
        if self.is_trying || (self.opened.is_none() && self.failures >= self.failures_max) {
            self.opened = Some(now);
            self.opened_total += 1;
        }
        self.is_trying = false;
    }

    /// What it does now.
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        match self.opened {
            None => Circuit::Closed,
            Some(_) if self.is_trying => Circuit::HalfOpen,
            Some(_) => Circuit::Open,
        }
    }

    /// How long until a try may be made.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.opened
            .map_or(Duration::ZERO, |at| (at + self.pause).saturating_sub(now))
    }

    /// How often it has opened.
    #[must_use]
    pub fn opened_total(&self) -> u64 {
        self.opened_total
    }
}

/// A bucket that fills with `rows_per_s` and holds a second's worth. Time is an argument: since
/// any fixed moment.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    rows_per_s: u32,
    /// Rows that may be taken; negative where a large page was taken in advance.
    rows: f64,
    filled: Duration,
}

impl RateLimiter {
    /// `rows_per_s` at most; 0 = no limit.
    #[must_use]
    pub fn new(rows_per_s: u32) -> Self {
        Self {
            rows_per_s,
            rows: f64::from(rows_per_s),
            filled: Duration::ZERO,
        }
    }

    /// Takes `rows` and says how long to wait before the next are read.
    pub fn take(&mut self, rows: u32, now: Duration) -> Duration {
        if self.rows_per_s == 0 {
            return Duration::ZERO;
        }
        let rate = f64::from(self.rows_per_s);
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.rows = (self.rows + passed * rate).min(rate) - f64::from(rows);
        Duration::from_secs_f64((-self.rows / rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_double_up_to_the_maximum_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(ms(100), ms(1_000));
        let ceilings: Vec<_> = (0..6).map(|_| backoff.next_with(1.0)).collect();
        assert_eq!(ceilings, [200, 400, 800, 1_000, 1_000, 1_000].map(ms));
        assert_eq!(backoff.next_with(0.0), ms(100));
        assert_eq!(backoff.next_with(0.5), ms(550));
        backoff.reset();
        assert_eq!(backoff.next_with(1.0), ms(200));
    }

    #[test]
    fn pauses_stay_in_their_bounds_however_often_it_fails() {
        let mut backoff = Backoff::new(ms(10), Duration::MAX);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let pause = backoff.next();
            assert!(pause >= ms(10));
            seen.insert(pause);
        }
        assert!(seen.len() > 90, "they are random");
        let mut equal = Backoff::new(ms(10), ms(5));
        assert_eq!(equal.next(), ms(10));
    }

    #[test]
    fn a_breaker_opens_after_failures_in_a_row_and_closes_after_one_good_try() {
        let mut breaker = CircuitBreaker::new(3, ms(1_000));
        for at in [0, 1] {
            assert!(breaker.allows(ms(at)));
            breaker.failed(ms(at));
        }
        breaker.succeeded();
        for at in [2, 3, 4] {
            assert_eq!(breaker.circuit(), Circuit::Closed);
            assert!(breaker.allows(ms(at)));
            breaker.failed(ms(at));
        }
        assert_eq!(breaker.circuit(), Circuit::Open);
        assert_eq!(breaker.wait(ms(4)), ms(1_000));
        assert!(!breaker.allows(ms(1_003)));
        // One try, not two; it fails and the pause begins again.
        assert!(breaker.allows(ms(1_004)));
        assert_eq!(breaker.circuit(), Circuit::HalfOpen);
        assert!(!breaker.allows(ms(1_005)));
        breaker.failed(ms(1_005));
        assert!(!breaker.allows(ms(2_004)));
        assert!(breaker.allows(ms(2_005)));
        breaker.succeeded();
        assert_eq!(breaker.circuit(), Circuit::Closed);
        assert_eq!(breaker.opened_total(), 2);
        assert!(breaker.allows(ms(2_006)));
    }

    #[test]
    fn a_rate_holds_over_time_with_a_burst_of_one_second() {
        let mut limiter = RateLimiter::new(1_000);
        assert_eq!(limiter.take(1_000, ms(0)), ms(0));
        assert_eq!(limiter.take(500, ms(0)), ms(500));
        let (mut now, mut taken) = (ms(500), 0);
        while now < ms(10_500) {
            now += limiter.take(250, now).max(ms(1));
            taken += 250;
        }
        assert!((9_500..=10_500).contains(&taken), "{taken}");
        // A long silence saves up no more than a second's worth.
        assert_eq!(limiter.take(2_000, now + ms(60_000)), ms(1_000));
        assert_eq!(RateLimiter::new(0).take(u32::MAX, ms(0)), ms(0));
    }
}
