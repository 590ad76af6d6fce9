//! The origin's protection: a circuit breaker with probes, and a limit of requests at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::failure::Failure;

/// How long failures are counted together, milliseconds.
const WINDOW_MS: i64 = 5_000;

/// Failures in a window that open the breaker, where they are also most of the requests.
const FAILURES_MIN: u32 = 10;

/// How long it stays open at first, milliseconds; doubled by each probe that fails.
const OPEN_MS: i64 = 500;

/// How long it stays open at most, milliseconds.
const OPEN_MS_MAX: i64 = 15_000;

/// The breaker: closed, open until a time, or half open with one probe under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Breaker {
    window_start_ms: i64,
    good: u32,
    bad: u32,
    open_until_ms: Option<i64>,
    open_ms: i64,
    probing: bool,
}

impl Breaker {
    /// Whether a request may go; the first after the time is the probe.
    fn admits(&mut self, now_ms: i64) -> bool {
        match self.open_until_ms {
            None => true,
            Some(until_ms) if now_ms < until_ms || self.probing => false,
            Some(_) => {
                self.probing = true;
                true
            }
        }
    }

    fn note(&mut self, ok: bool, now_ms: i64) {
        if self.open_until_ms.is_some() {
            if !self.probing {
                // Of before it opened.
                return;
            }
            self.probing = false;
            if ok {
                *self = Self::default();
            } else {
                self.open(now_ms);
            }
            return;
        }
        if now_ms.saturating_sub(self.window_start_ms) > WINDOW_MS {
            (self.window_start_ms, self.good, self.bad) = (now_ms, 0, 0);
        }
        if ok {
            self.good = self.good.saturating_add(1);
        } else {
            self.bad = self.bad.saturating_add(1);
            if self.bad >= FAILURES_MIN && self.bad > self.good {
                self.open(now_ms);
            }
        }
    }

    fn open(&mut self, now_ms: i64) {
        self.open_ms = (self.open_ms * 2).clamp(OPEN_MS, OPEN_MS_MAX);
        self.open_until_ms = Some(now_ms.saturating_add(self.open_ms));
        tracing::warn!(open_ms = self.open_ms, "origin breaker open");
    }
}

/// Breaker and limit.
#[derive(Debug)]
pub(crate) struct Protection {
    breaker: Mutex<Breaker>,
    under_way: AtomicUsize,
    requests_max: usize,
}

/// The right to one request to the origin, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    protection: Arc<Protection>,
    noted: bool,
}

impl Protection {
    pub(crate) fn new(requests_max: usize) -> Self {
        Self {
            breaker: Mutex::default(),
            under_way: AtomicUsize::new(0),
            requests_max,
        }
    }

    /// The right to one request.
    ///
    /// # Errors
    /// The breaker is open, or too many are under way.
    pub(crate) fn enter(self: &Arc<Self>, now_ms: i64) -> Result<Permit, Failure> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= self.requests_max {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::Overload);
        }
        if !self.breaker().admits(now_ms) {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::Breaker);
        }
        Ok(Permit {
            protection: Arc::clone(self),
            noted: false,
        })
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The origin answered, or did not.
    pub(crate) fn note(&mut self, ok: bool, now_ms: i64) {
        self.noted = true;
        self.protection.breaker().note(ok, now_ms);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.protection.under_way.fetch_sub(1, Ordering::Relaxed);
        if !self.noted {
            // Given up halfway: a probe that nobody waits for must not keep the breaker open.
            self.protection.breaker().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(now_ms: i64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MIN {
            assert!(breaker.admits(now_ms));
            breaker.note(false, now_ms);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_and_one_probe_closes_it() {
        let mut breaker = failing(0);
        assert!(!breaker.admits(OPEN_MS - 1));
        assert!(breaker.admits(OPEN_MS), "a probe");
        assert!(!breaker.admits(OPEN_MS), "one probe only");
        breaker.note(true, OPEN_MS);
        assert!(breaker.admits(OPEN_MS));
    }

    #[test]
    fn a_failed_probe_doubles_the_wait_up_to_a_bound() {
        let mut breaker = failing(0);
        let mut now_ms = OPEN_MS;
        for _ in 0..20 {
            assert!(breaker.admits(now_ms));
            breaker.note(false, now_ms);
            let until_ms = breaker.open_until_ms.expect("open");
            assert!(until_ms - now_ms <= OPEN_MS_MAX);
            now_ms = until_ms;
        }
        assert_eq!(breaker.open_ms, OPEN_MS_MAX);
    }

    #[test]
    fn few_failures_among_many_answers_change_nothing() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.note(true, 0);
            breaker.note(false, 0);
        }
        assert!(breaker.admits(0));
    }

    #[test]
    fn only_so_many_are_under_way() {
        let protection = Arc::new(Protection::new(2));
        let first = protection.enter(0).expect("the first");
        let _second = protection.enter(0).expect("the second");
        assert_eq!(protection.enter(0).err(), Some(Failure::Overload));
        drop(first);
        assert!(protection.enter(0).is_ok());
    }
}
