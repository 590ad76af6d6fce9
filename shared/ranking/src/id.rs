//! Hashes that stand for ids: the same in every process.

use xxhash_rust::xxh3::xxh3_64;

/// XXH3-64 of an id's UTF-8 bytes.
#[must_use]
pub fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// The upper 32 bits of [`id_hash`], where 32 bits are enough (followed authors).
#[must_use]
pub fn short_hash(id: &str) -> u32 {
    (id_hash(id) >> 32) as u32
}
