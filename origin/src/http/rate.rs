//! A token bucket per client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Clients remembered; beyond, those that have been quiet longest are forgotten.
const CLIENTS_MAX: usize = 65_536;

/// Requests a second and client; a burst may go ahead of it.
pub(crate) struct RateLimiter {
    rate_per_s: f64,
    burst: f64,
    clients: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at_ms: i64,
}

impl RateLimiter {
    /// `None` where `rate_per_s` is 0: no limit.
    pub(crate) fn new(rate_per_s: f64, burst: u32) -> Option<Self> {
        (rate_per_s > 0.0).then(|| Self {
            rate_per_s,
            burst: f64::from(burst),
            clients: Mutex::new(HashMap::new()),
        })
    }

    /// Takes a request of `client` at wall time `wall_ms`.
    ///
    /// # Errors
    ///
    /// Seconds after which one passes again.
    pub(crate) fn take(&self, client: IpAddr, wall_ms: i64) -> Result<(), u32> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            // A full bucket is as good as a forgotten one.
            let full_after_ms = (self.burst / self.rate_per_s * 1_000.0) as i64;
            clients.retain(|_, bucket| wall_ms - bucket.at_ms < full_after_ms);
            if clients.len() >= CLIENTS_MAX {
                clients.clear();
            }
        }
        let full = Bucket {
            tokens: self.burst,
            at_ms: wall_ms,
        };
        let bucket = clients.entry(client).or_insert(full);
        let elapsed_s = (wall_ms - bucket.at_ms).max(0) as f64 / 1_000.0;
        bucket.tokens = (bucket.tokens + elapsed_s * self.rate_per_s).min(self.burst);
        bucket.at_ms = wall_ms;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - bucket.tokens) / self.rate_per_s).ceil().max(1.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let limiter = RateLimiter::new(2.0, 3).expect("on");
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!((0..3).all(|_| limiter.take(client, 0).is_ok()));
        assert_eq!(limiter.take(client, 0), Err(1));
        assert!(limiter.take(client, 500).is_ok());
        assert!(limiter.take(client, 500).is_err());
        assert!(
            limiter
                .take(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 500)
                .is_ok()
        );
        assert!(RateLimiter::new(0.0, 3).is_none());
    }
}
