//! The entries that a transaction looked at or changed.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::store::block::Change;

/// Entries kept room for after a transaction.
const KEPT_ENTRIES: usize = 16_384;

/// Entries that room is made for at once, at least.
const ENTRIES_MIN: usize = 64;

/// Entries by prefix and hash, each once.
#[derive(Debug)]
pub(super) struct Touched<const PREFIX: usize, V> {
    entries: Vec<Entry<PREFIX, V>>,
    /// Where in `entries`: a table of places is a tenth of a table of entries.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// An entry of a block as the transaction has it.
#[derive(Debug)]
pub(super) struct Entry<const PREFIX: usize, V> {
    pub(super) prefix: [u8; PREFIX],
    pub(super) hash: u64,
    /// `None` where there is no such entry.
    pub(super) value: Option<V>,
    pub(super) state: State,
}

/// What an entry's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// What is stored.
    Read,
    /// What is to be stored.
    Changed,
    /// A part, to be merged into what is stored.
    Part,
}

impl<const PREFIX: usize, V> Entry<PREFIX, V> {
    /// What becomes of it.
    pub(super) fn change(&self) -> Change<'_, V> {
        match (&self.value, self.state) {
            (Some(value), State::Part) => Change::Merge(value),
            (Some(value), _) => Change::Set(value),
            (None, _) => Change::Remove,
        }
    }
}

impl<const PREFIX: usize, V> Touched<PREFIX, V> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The place of an entry.
    pub(super) fn find(&self, prefix: &[u8; PREFIX], hash: u64) -> Option<u32> {
        let is_it = |&at: &u32| {
            let entry = &self.entries[at as usize];
            entry.hash == hash && entry.prefix == *prefix
        };
        let key = self.hasher.hash_one((prefix, hash));
        self.places.find(key, is_it).copied()
    }

    /// Adds an entry that is not there and returns its place.
    pub(super) fn insert(
        &mut self,
        prefix: [u8; PREFIX],
        hash: u64,
        value: Option<V>,
        state: State,
    ) -> u32 {
        // A transaction holds fewer: the queue that feeds it is bounded by bytes.
        let at = u32::try_from(self.entries.len()).expect("fewer than 2^32 entries");
        if self.entries.len() == self.entries.capacity() {
            // Doubling would waste what a page cache can use.
            let more = (self.entries.len() / 4).max(ENTRIES_MIN);
            self.entries.reserve_exact(more);
        }
        self.entries.push(Entry {
            prefix,
            hash,
            value,
            state,
        });
        let Self {
            entries,
            places,
            hasher,
        } = self;
        let key = hasher.hash_one((prefix, hash));
        places.insert_unique(key, at, |&at| {
            let entry = &entries[at as usize];
            hasher.hash_one((entry.prefix, entry.hash))
        });
        at
    }

    pub(super) fn entry_mut(&mut self, at: u32) -> &mut Entry<PREFIX, V> {
        &mut self.entries[at as usize]
    }

    pub(super) fn entries(&self) -> &[Entry<PREFIX, V>] {
        &self.entries
    }

    /// The places of the changed entries, ascending by prefix and hash.
    pub(super) fn changed(&self) -> Vec<u32> {
        let changed = self
            .entries
            .iter()
            .zip(0..)
            .filter(|(entry, _)| entry.state != State::Read);
        let mut places: Vec<u32> = changed.map(|(_, at)| at).collect();
        places.sort_unstable_by_key(|&at| {
            let entry = &self.entries[at as usize];
            (entry.prefix, entry.hash)
        });
        places
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.places.clear();
        // What one large transaction needed is not held for good.
        self.entries.shrink_to(KEPT_ENTRIES);
        if self.places.capacity() > 2 * KEPT_ENTRIES {
            self.places = HashTable::new();
        }
    }
}
