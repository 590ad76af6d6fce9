//! Named maxima of the core, and the per-client request rate.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::id_hash;

/// Requests that wait for effects at the same time.
pub const LIVE_MAX: usize = 1_024;
/// A request whose host never resumed is forgotten after this.
pub const LIVE_MAX_MS: i64 = 60_000;
/// Bytes of decoded values an isolate keeps.
pub const MEMORY_MAX_BYTES: usize = 48 << 20;
/// Values an isolate keeps.
pub const MEMORY_MAX_ENTRIES: usize = 65_536;
/// Leases held at the same time.
pub const LEASES_MAX: usize = 1_024;
/// Requests of an isolate at the origin at the same time; more are not sent.
pub const ORIGIN_REQUESTS_MAX: usize = 64;
/// The same for refreshes that nobody waits for.
pub const ORIGIN_REFRESHES_MAX: usize = 48;
/// A stored value or origin answer longer than this is not taken.
pub const VALUE_MAX_BYTES: usize = 8 << 20;
/// Longest queue message.
pub const MESSAGE_MAX_BYTES: usize = 100 << 10;
/// Clients whose rate is counted; two that share a slot share a rate.
pub const BUCKETS: usize = 4_096;
/// Explore slots that wait to be sent.
pub const SERVED_MAX: usize = 256;
/// Longest key of a store.
pub const KEY_MAX_BYTES: usize = 480;
/// Bodies of hot lists kept as answered; 200 items of 64-byte ids are about 40 KiB.
pub const ANSWERS_MAX: usize = 64;
/// Answers that are given again as they are, in their output frames.
pub const REPEATS_MAX: usize = 64;
/// Longest sum of query, path and headers that such an answer is kept for.
pub const REPEAT_ASKED_MAX_BYTES: usize = 1_024;
/// Model snapshots kept.
pub const MODELS_MAX: usize = 4;

/// Token buckets in a fixed table: memory does not grow with the number of clients.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate_per_s: f64,
    burst: f64,
    /// (tokens, wall ms they were counted at); empty where rates are off.
    table: Vec<(f64, i64)>,
}

impl Buckets {
    /// `rate_per_s` 0 is off.
    pub(crate) fn new(rate_per_s: u32, burst: u32) -> Self {
        let slots = if rate_per_s == 0 { 0 } else { BUCKETS };
        let burst = f64::from(burst.max(1));
        Self {
            rate_per_s: f64::from(rate_per_s),
            burst,
            table: alloc::vec![(burst, i64::MIN); slots],
        }
    }

    /// Whether nobody's rate is counted.
    pub(crate) fn is_off(&self) -> bool {
        self.table.is_empty()
    }

    /// Takes a token of this client; `Err` holds the seconds until there is one.
    pub(crate) fn take(&mut self, client: &str, wall_ms: i64) -> Result<(), u32> {
        let slot = id_hash(client) as usize % BUCKETS;
        let Some((tokens, at_ms)) = self.table.get_mut(slot) else {
            return Ok(());
        };
        let elapsed_ms = if *at_ms == i64::MIN {
            0
        } else {
            (wall_ms - *at_ms).max(0)
        };
        *tokens = (*tokens + elapsed_ms as f64 / 1_000.0 * self.rate_per_s).min(self.burst);
        *at_ms = wall_ms;
        if *tokens >= 1.0 {
            *tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - *tokens) / self.rate_per_s) as u32 + 1)
    }
}

/// The key a client is limited by: its signed subject, else its address.
pub(crate) fn client_key(subject: Option<&str>, client_ip: &str) -> String {
    match subject {
        Some(subject) => format!("user:{subject}"),
        None => format!("ip:{client_ip}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_burst_and_refills() {
        let mut buckets = Buckets::new(2, 3);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", 1_000), Ok(()));
        }
        assert_eq!(buckets.take("a", 1_000), Err(1));
        assert_eq!(buckets.take("b", 1_000), Ok(()));
        assert_eq!(
            buckets.take("a", 1_500),
            Ok(()),
            "half a second is one token"
        );
        assert_eq!(buckets.take("a", 1_500), Err(1));
        assert_eq!(
            buckets.take("a", 500),
            Err(1),
            "a clock that steps back gives nothing"
        );
    }

    #[test]
    fn rate_zero_is_off() {
        let mut buckets = Buckets::new(0, 0);
        assert!((0..10_000).all(|_| buckets.take("a", 0).is_ok()));
    }
}
