//! How often a client may send events: the Worker's rate limiter, in this process.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::limits::{LIMITER_PER_MINUTE, LIMITER_SLOTS};

const SHARDS: usize = 64;

/// Token buckets in a fixed table, shared by all workers: memory does not grow with the number
/// of clients. The hash is keyed, so that nobody can choose whom to share a slot with.
#[derive(Debug)]
pub(crate) struct Limiter {
    hash: RandomState,
    shards: Vec<Mutex<Vec<Bucket>>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f32,
    at_ms: i64,
}

impl Limiter {
    /// Everybody's bucket is full.
    pub(crate) fn new() -> Self {
        let full = Bucket {
            tokens: LIMITER_PER_MINUTE as f32,
            at_ms: 0,
        };
        let shard = || Mutex::new(vec![full; LIMITER_SLOTS / SHARDS]);
        Self {
            hash: RandomState::new(),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
        }
    }

    /// Takes a token of this client at wall time `now_ms`; false where there is none.
    pub(crate) fn take(&self, client: &str, now_ms: i64) -> bool {
        let hash = self.hash.hash_one(client) as usize;
        let Some(shard) = self.shards.get(hash % SHARDS) else {
            return true;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = hash / SHARDS % shard.len().max(1);
        let Some(bucket) = shard.get_mut(slot) else {
            return true;
        };
        let elapsed_ms = now_ms.saturating_sub(bucket.at_ms).clamp(0, 60_000) as f32;
        let refill = elapsed_ms * (LIMITER_PER_MINUTE as f32 / 60_000.0);
        bucket.tokens = (bucket.tokens + refill).min(LIMITER_PER_MINUTE as f32);
        bucket.at_ms = now_ms;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_burst_and_then_its_rate() {
        let limiter = Limiter::new();
        let now_ms = 1_700_000_000_000;
        assert!((0..LIMITER_PER_MINUTE).all(|_| limiter.take("a", now_ms)));
        assert!(!limiter.take("a", now_ms));
        assert!(limiter.take("b", now_ms), "somebody else");
        assert!(limiter.take("a", now_ms + 11), "100 a second");
        assert!(!limiter.take("a", now_ms + 11));
        assert!(
            !limiter.take("a", now_ms - 9_000),
            "a clock that steps back"
        );
    }
}
