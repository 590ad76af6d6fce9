//! The process's cache: what Cloudflare's data-centre cache is to the Worker.

use bytes::Bytes;
use metrics::{Counter, Gauge, counter, gauge};
use quick_cache::sync::Cache as Shards;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::telemetry::{CACHE_BYTES, CACHE_EVICTED_TOTAL};

/// What a value costs beside its bytes: key, entry and ring buffer, roughly.
const ENTRY_BYTES: usize = 160;
/// Values are of this size, roughly: the tables are made for as many.
const VALUE_BYTES: u64 = 8 << 10;
/// A shard must hold the largest value (8 MiB), however many cores there are.
const SHARD_BYTES_MIN: u64 = 16 << 20;
/// Beyond, cores hardly meet.
const SHARDS_MAX: usize = 64;

#[derive(Clone, Debug)]
struct Stored {
    until_s: u64,
    body: Bytes,
}

#[derive(Clone, Debug)]
struct Bytewise;

impl Weighter<Box<str>, Stored> for Bytewise {
    fn weight(&self, key: &Box<str>, stored: &Stored) -> u64 {
        (key.len() + stored.body.len() + ENTRY_BYTES) as u64
    }
}

/// Names what goes for room, or for a newer value.
#[derive(Clone, Debug)]
struct Evictions;

impl Lifecycle<Box<str>, Stored> for Evictions {
    type RequestState = Vec<Box<str>>;

    fn begin_request(&self) -> Self::RequestState {
        Vec::new()
    }

    fn on_evict(&self, evicted: &mut Self::RequestState, key: Box<str>, _: Stored) {
        evicted.push(key);
    }
}

/// Values by key, bounded by bytes, evicted by S3-FIFO; each lives as long as it was put for.
pub(crate) struct Cache {
    shards: Shards<Box<str>, Stored, Bytewise, DefaultHashBuilder, Evictions>,
    bytes: Gauge,
    evicted: Counter,
}

impl Cache {
    /// At most `max_bytes`.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes / VALUE_BYTES).unwrap_or(usize::MAX);
        let shards = usize::try_from(max_bytes / SHARD_BYTES_MIN).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(entries)
            .weight_capacity(max_bytes)
            .shards(shards.clamp(1, SHARDS_MAX))
            .build()
            .expect("items and weight are given");
        let hash = DefaultHashBuilder::default();
        Self {
            shards: Shards::with_options(options, Bytewise, hash, Evictions),
            bytes: gauge!(CACHE_BYTES),
            evicted: counter!(CACHE_EVICTED_TOTAL),
        }
    }

    /// The value, where there is one that lives at `now_s`.
    pub(crate) fn get(&self, key: &str, now_s: u64) -> Option<Bytes> {
        let stored = self.shards.get(key)?;
        if stored.until_s > now_s {
            return Some(stored.body);
        }
        // Another thread may have put a newer one since.
        self.shards.remove_if(key, |stored| stored.until_s <= now_s);
        None
    }

    /// Keeps a value for `ttl_s`, unless it is larger than a shard.
    pub(crate) fn put(&self, key: &str, ttl_s: u32, body: Bytes, now_s: u64) {
        let until_s = now_s.saturating_add(u64::from(ttl_s));
        let stored = Stored { until_s, body };
        let gone = self.shards.insert_with_lifecycle(key.into(), stored);
        let evicted = gone.iter().filter(|gone| &***gone != key).count();
        self.evicted.increment(evicted as u64);
        self.bytes.set(self.shards.weight() as f64);
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_live_as_long_as_they_were_put_for() {
        let cache = Cache::new(1 << 20);
        cache.put("a", 10, Bytes::from_static(b"1"), 100);
        assert_eq!(cache.get("a", 109).as_deref(), Some(&b"1"[..]));
        assert_eq!(cache.get("b", 100), None);
        assert_eq!(cache.get("a", 110), None);
        cache.put("a", 10, Bytes::from_static(b"2"), 110);
        assert_eq!(cache.get("a", 110).as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn the_largest_values_fit() {
        let cache = Cache::new(256 << 20);
        for index in 0..16 {
            let key = format!("{index}");
            cache.put(&key, 60, Bytes::from(vec![0; 8 << 20]), 0);
            assert!(cache.get(&key, 0).is_some());
        }
    }

    #[test]
    fn bytes_are_bounded() {
        let cache = Cache::new(1 << 20);
        for index in 0..10_000 {
            cache.put(&format!("{index}"), 60, Bytes::from(vec![0; 1_000]), 0);
            assert!(cache.shards.weight() <= 1 << 20);
        }
        assert!(cache.shards.len() > 500);
        cache.put("huge", 60, Bytes::from(vec![0; 2 << 20]), 0);
        assert_eq!(cache.get("huge", 0), None);
        assert!(cache.shards.weight() <= 1 << 20);
    }
}
