//! The stores that all workers share: the process's cache, and the key-value store where there
//! is a folder for it.

use std::sync::Arc;

use bytes::Bytes;

use super::cache::Cache;
use super::kv::Kv;
use crate::limits::STORE_TIMEOUT;
use crate::now;

/// Both tiers.
#[derive(Debug)]
pub(crate) struct Tiers {
    cache: Cache,
    kv: Option<Arc<Kv>>,
}

impl Tiers {
    /// Without `kv`, what the cache gives up is fetched again.
    pub(crate) fn new(cache: Cache, kv: Option<Kv>) -> Self {
        let kv = kv.map(Arc::new);
        Self { cache, kv }
    }

    pub(crate) fn cache_get(&self, key: &str) -> Option<Bytes> {
        self.cache.get(key, now::wall_s())
    }

    pub(crate) fn cache_put(&self, key: &str, ttl_s: u32, body: Bytes) {
        self.cache.put(key, ttl_s, body, now::wall_s());
    }

    pub(crate) async fn kv_get(&self, key: String) -> Option<Bytes> {
        let kv = Arc::clone(self.kv.as_ref()?);
        let read = tokio::task::spawn_blocking(move || kv.get(&key));
        tokio::time::timeout(STORE_TIMEOUT, read).await.ok()?.ok()?
    }

    /// False where it will not be written.
    pub(crate) fn kv_put(&self, key: String, ttl_s: u32, body: Bytes) -> bool {
        match &self.kv {
            Some(kv) => kv.put(key, ttl_s, body),
            None => false,
        }
    }
}
