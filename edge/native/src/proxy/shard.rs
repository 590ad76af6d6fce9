//! What is stored and who is fetching, split by key: one short lock a request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use edgewise_cache::coalesce::Flights;
use edgewise_cache::fields::{Fields, FieldsMut};
use edgewise_cache::store::hash;
use edgewise_cache::{Cache, Config, Object};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::flight::Flight;
use super::options::SHARDS;

/// A stored answer: header fields ready to be sent, and its body.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type Entry = Arc<Object<Payload>>;

/// One part of the store.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) cache: Cache<Payload>,
    pub(crate) flights: Flights<Arc<Flight>>,
}

/// The store.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Vec<Mutex<Shard>>,
}

impl Shards {
    pub(crate) fn new(config: Config, memory_bytes: u64) -> Self {
        let each = memory_bytes / SHARDS as u64;
        let shard = || Shard {
            cache: Cache::new(config, each),
            flights: Flights::new(),
        };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
        }
    }

    /// The part that a key belongs to. A panic elsewhere leaves it whole: no step of it can
    /// panic halfway.
    pub(crate) fn of(&self, key: &str) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(hash(key) % SHARDS as u64).unwrap_or(0);
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Headers, for the cache to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'a>(pub(crate) &'a HeaderMap);

/// Headers, for the cache to change.
#[derive(Debug)]
pub(crate) struct Change<'a>(pub(crate) &'a mut HeaderMap);

fn values<'a>(map: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
    map.get_all(name).iter().map(HeaderValue::as_bytes)
}

fn lines(map: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    map.iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
}

impl Fields for Read<'_> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        values(self.0, name)
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        lines(self.0)
    }
}

impl Fields for Change<'_> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        values(self.0, name)
    }

    fn lines(&self) -> impl Iterator<Item = (&str, &[u8])> {
        lines(self.0)
    }
}

impl FieldsMut for Change<'_> {
    fn remove_field(&mut self, name: &str) {
        if let Ok(name) = HeaderName::try_from(name) {
            self.0.remove(name);
        }
    }

    fn append_field(&mut self, name: &str, value: &[u8]) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value))
        {
            self.0.append(name, value);
        }
    }
}

/// The same headers in memory of their own: as they came they share, and so keep, the whole
/// buffer that they were read into.
pub(crate) fn compact(headers: &HeaderMap) -> HeaderMap {
    let bytes = headers.values().map(HeaderValue::len).sum();
    let mut all = BytesMut::with_capacity(bytes);
    for value in headers.values() {
        all.extend_from_slice(value.as_bytes());
    }
    let mut all = all.freeze();
    let mut out = HeaderMap::with_capacity(headers.keys_len() + 1);
    for (name, value) in headers {
        let own = all.split_to(value.len());
        if let Ok(own) = HeaderValue::from_maybe_shared(own) {
            out.append(name, own);
        }
    }
    out
}

/// Bytes that headers take.
pub(crate) fn header_bytes(headers: &HeaderMap) -> u64 {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().len() + value.len() + 64) as u64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_headers_are_the_same_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", ""), ("a", "2"), ("c", "\u{fc}")] {
            headers.append(
                name,
                HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
            );
        }
        assert_eq!(compact(&headers), headers);
    }
}
