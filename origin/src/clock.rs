//! The only place that reads the clock: wall time, and domain time as a function of it.
//!
//! Ages, windows and event checks use domain time; caches, tokens and rate limits use
//! wall time. `--now T --speed S` makes domain time `T + elapsed wall time * S`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgewise_wire::overlay::DomainClock;

/// Wall and domain time; clones read the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    domain: DomainClock,
    wall: Wall,
}

#[derive(Clone, Debug)]
enum Wall {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock; domain time is wall time.
    #[must_use]
    pub fn system() -> Self {
        Self {
            domain: DomainClock::default(),
            wall: Wall::System,
        }
    }

    /// The machine's clock; domain time is `now_ms` now and runs at `speed` times wall time.
    #[must_use]
    pub fn replay(now_ms: i64, speed: f64) -> Self {
        let base_wall_ms = system_wall_ms();
        let domain = DomainClock {
            base_domain_ms: now_ms,
            base_wall_ms,
            speed,
        };
        Self {
            domain,
            wall: Wall::System,
        }
    }

    /// A clock that a test moves; domain time is its wall time.
    #[must_use]
    pub fn manual(wall_ms: i64) -> Self {
        let wall = Wall::Manual(Arc::new(AtomicI64::new(wall_ms)));
        Self {
            domain: DomainClock::default(),
            wall,
        }
    }

    /// The same wall clock with another domain clock.
    #[must_use]
    pub fn with_domain(self, domain: DomainClock) -> Self {
        Self { domain, ..self }
    }

    /// Wall time, Unix ms.
    #[must_use]
    pub fn wall_ms(&self) -> i64 {
        match &self.wall {
            Wall::System => system_wall_ms(),
            Wall::Manual(at) => at.load(Ordering::Relaxed),
        }
    }

    /// Domain time, Unix ms.
    #[must_use]
    pub fn domain_ms(&self) -> i64 {
        self.domain.domain_ms(self.wall_ms())
    }

    /// Domain time as a function of wall time, as the overlay publishes it.
    #[must_use]
    pub fn domain(&self) -> DomainClock {
        self.domain
    }

    /// Moves a manual clock by `by_ms`; the machine's clock does not move.
    pub fn advance(&self, by_ms: i64) {
        if let Wall::Manual(at) = &self.wall {
            at.fetch_add(by_ms, Ordering::Relaxed);
        }
    }
}

/// A stopwatch on the monotonic clock, for durations in metrics and logs.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

fn system_wall_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_time_runs_at_its_speed() {
        let domain = DomainClock {
            base_domain_ms: 5_000,
            base_wall_ms: 100,
            speed: 10.0,
        };
        let clock = Clock::manual(100).with_domain(domain);
        assert_eq!(clock.domain_ms(), 5_000);
        clock.advance(7);
        assert_eq!((clock.wall_ms(), clock.domain_ms()), (107, 5_070));
    }

    #[test]
    fn a_replay_starts_at_its_now() {
        let clock = Clock::replay(1_000_000, 1.0);
        assert!((1_000_000..1_010_000).contains(&clock.domain_ms()));
    }
}
