//! An open-addressed index over hashes that are already uniform (XXH3-64).
//!
//! Its iteration order is never used, and it has no random state, so results are
//! the same in every process.

use alloc::vec;
use alloc::vec::Vec;

const EMPTY: u32 = u32::MAX;

/// Maps a hash to the ordinal of its insertion.
#[derive(Clone, Debug)]
pub(crate) struct HashIndex {
    hashes: Vec<u64>,
    /// Ordinals, or `EMPTY`; a power of two, at most half full.
    slots: Vec<u32>,
}

impl HashIndex {
    /// An index that holds `entries` without growing.
    pub(crate) fn with_capacity(entries: usize) -> Self {
        let slots = (2 * entries).next_power_of_two().max(16);
        Self {
            hashes: Vec::with_capacity(entries),
            slots: vec![EMPTY; slots],
        }
    }

    /// The ordinal with this hash for which `is_same` holds (collisions are told apart by it).
    pub(crate) fn find(&self, hash: u64, is_same: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != EMPTY {
            let ordinal = self.slots[slot] as usize;
            if self.hashes[ordinal] == hash && is_same(ordinal) {
                return Some(ordinal);
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    /// Adds a hash that [`HashIndex::find`] did not know; returns its ordinal.
    pub(crate) fn insert(&mut self, hash: u64) -> usize {
        let ordinal = self.hashes.len();
        self.hashes.push(hash);
        if 2 * self.hashes.len() > self.slots.len() {
            self.slots = vec![EMPTY; 2 * self.slots.len()];
            for known in 0..=ordinal {
                self.link(known);
            }
        } else {
            self.link(ordinal);
        }
        ordinal
    }

    fn link(&mut self, ordinal: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = self.hashes[ordinal] as usize & mask;
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = ordinal as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_through_growth_and_collisions() {
        let mut index = HashIndex::with_capacity(0);
        for ordinal in 0..1_000_usize {
            // Only 250 different hashes: every one collides four times.
            let hash = (ordinal as u64 % 250) << 3;
            assert_eq!(index.find(hash, |known| known == ordinal), None);
            assert_eq!(index.insert(hash), ordinal);
        }
        for ordinal in 0..1_000_usize {
            let hash = (ordinal as u64 % 250) << 3;
            assert_eq!(index.find(hash, |known| known == ordinal), Some(ordinal));
        }
    }
}
