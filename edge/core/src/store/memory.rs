//! The first tier: decoded values in the isolate's memory, bounded by bytes, least recently
//! used out first (by a counter, not a clock: the order is deterministic).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use edgewise_ranking::id_hash;
use edgewise_serving::Prepared;
use edgewise_wire::lists::HotList;

use crate::limits::{MEMORY_MAX_BYTES, MEMORY_MAX_ENTRIES};

/// A decoded value.
#[derive(Debug)]
pub(crate) enum Value {
    /// Candidates of a user or a segment.
    Bundle {
        /// Ready to answer pages.
        prepared: Box<Prepared>,
        /// Its rows as fetched.
        rows: usize,
        /// As fetched, for packs.
        encoded: Box<[u8]>,
    },
    /// A hot list.
    Hot {
        /// Ready to answer.
        list: Box<HotList>,
        /// As fetched, for packs.
        encoded: Box<[u8]>,
    },
    /// A stored JSON answer.
    Json(Vec<u8>),
    /// The origin knows of no such thing.
    Absent,
}

/// A value and where and when it came from.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Full key: a hash collision must not hand one user another's candidates.
    key: Box<str>,
    /// Wall time the value was current at, Unix ms.
    pub(crate) stored_at_ms: i64,
    /// Wall time of the last write to KV, Unix ms.
    pub(crate) kv_put_at_ms: i64,
    /// The value.
    pub(crate) value: Value,
    bytes: usize,
    used: u64,
}

/// The isolate's values by key hash.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: Vec<Entry>,
    /// Key hash to place in `entries`: of the type of `order`, so that one tree is compiled.
    places: BTreeMap<u64, u64>,
    /// Use counter to key hash, ascending = least recently used first.
    order: BTreeMap<u64, u64>,
    bytes: usize,
    uses: u64,
}

impl Memory {
    /// The entry under `key`, marked as used.
    pub(crate) fn get(&mut self, key: &str) -> Option<&mut Entry> {
        let hash = id_hash(key);
        let place = *self.places.get(&hash)? as usize;
        let entry = self
            .entries
            .get_mut(place)
            .filter(|entry| &*entry.key == key)?;
        self.order.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.order.insert(self.uses, hash);
        Some(entry)
    }

    /// Marks the entry under `key` as used.
    pub(crate) fn touch(&mut self, key: &str) {
        self.get(key);
    }

    /// The entry under `key`, without a mark.
    pub(crate) fn peek(&self, key: &str) -> Option<&Entry> {
        let place = *self.places.get(&id_hash(key))? as usize;
        self.entries.get(place).filter(|entry| &*entry.key == key)
    }

    /// Keeps a value, replacing what was under the key; `bytes` is its size in memory.
    pub(crate) fn insert(&mut self, key: &str, value: Value, bytes: usize, stored_at_ms: i64) {
        let hash = id_hash(key);
        let kv_put_at_ms = self.peek(key).map_or(i64::MIN, |entry| entry.kv_put_at_ms);
        self.remove_hash(hash);
        self.uses += 1;
        let bytes = bytes.saturating_add(key.len() + size_of::<Entry>());
        let key = Box::from(key);
        let used = self.uses;
        self.places.insert(hash, self.entries.len() as u64);
        self.entries.push(Entry {
            key,
            stored_at_ms,
            kv_put_at_ms,
            value,
            bytes,
            used,
        });
        self.order.insert(used, hash);
        self.bytes = self.bytes.saturating_add(bytes);
        // The newest stays even where it alone is over the limit: it is about to answer.
        while self.entries.len() > 1
            && (self.bytes > MEMORY_MAX_BYTES || self.entries.len() > MEMORY_MAX_ENTRIES)
        {
            let Some((_, &oldest)) = self.order.first_key_value() else {
                break;
            };
            self.remove_hash(oldest);
        }
    }

    fn remove_hash(&mut self, hash: u64) {
        let Some(place) = self.places.remove(&hash) else {
            return;
        };
        let entry = self.entries.swap_remove(place as usize);
        self.order.remove(&entry.used);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        if let Some(moved) = self.entries.get(place as usize) {
            self.places.insert(id_hash(&moved.key), place);
        }
    }

    /// Values kept.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes kept, estimated.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn json(memory: &mut Memory, key: &str, bytes: usize) {
        memory.insert(key, Value::Json(Vec::new()), bytes, 0);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut memory = Memory::default();
        let third = MEMORY_MAX_BYTES / 3 - 1_000;
        for key in ["a", "b", "c"] {
            json(&mut memory, key, third);
        }
        assert!(memory.get("a").is_some());
        json(&mut memory, "d", third);
        assert!(memory.peek("b").is_none());
        for key in ["a", "c", "d"] {
            assert!(memory.peek(key).is_some(), "{key}");
        }
        assert!(memory.bytes() <= MEMORY_MAX_BYTES);
    }

    #[test]
    fn replacing_keeps_the_count_and_the_kv_mark() {
        let mut memory = Memory::default();
        json(&mut memory, "a", 10);
        memory.get("a").expect("kept").kv_put_at_ms = 77;
        let before = memory.bytes();
        json(&mut memory, "a", 10);
        assert_eq!((memory.len(), memory.bytes()), (1, before));
        assert_eq!(memory.peek("a").expect("kept").kv_put_at_ms, 77);
        json(&mut memory, "huge", 2 * MEMORY_MAX_BYTES);
        assert_eq!(memory.len(), 1, "the newest stays");
    }

    #[test]
    fn what_is_kept_is_found_after_others_went() {
        let mut memory = Memory::default();
        for round in 0..7 {
            for index in 0..100 {
                json(
                    &mut memory,
                    &format!("{}", index * 7 % 100),
                    round * 100 + index,
                );
            }
            for index in 0..100 {
                let found = memory.peek(&format!("{index}")).expect("kept");
                assert_eq!(&*found.key, format!("{index}"));
            }
            assert_eq!(memory.places.len(), 100);
            assert_eq!(memory.order.len(), 100);
        }
    }

    #[test]
    fn entries_are_bounded() {
        let mut memory = Memory::default();
        for index in 0..MEMORY_MAX_ENTRIES + 10 {
            json(&mut memory, &format!("{index}"), 1);
        }
        assert_eq!(memory.len(), MEMORY_MAX_ENTRIES);
        assert_eq!(memory.order.len(), MEMORY_MAX_ENTRIES);
    }
}
