//! What is stored, in memory, bounded by bytes: variants of each key, evicted by SIEVE (Zhang et
//! al., NSDI 2024), purged by tag in constant time.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::fields::Fields;
use crate::purge::{Epochs, Forgotten, Purged};
use crate::storable::Stored;

/// Responses stored under one key; the oldest leaves.
pub const VARIANTS_MAX: usize = 32;

/// What a stored response is counted with besides its body, key and fields, bytes.
pub const OBJECT_OVERHEAD_BYTES: u64 = 512;

/// One object may take one part in so many of a store's bytes.
pub const OBJECT_SHARE: u64 = 4;

/// A stored response.
#[derive(Clone, Debug)]
pub struct Object<P> {
    /// What the cache knows of it.
    pub stored: Stored,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// Its header fields and body, as the host keeps them.
    pub payload: P,
}

/// What a request selects.
#[derive(Clone, Debug)]
pub enum Selected<P> {
    /// Nothing is stored under its key.
    Nothing,
    /// Only what other requests select.
    OtherVariants,
    /// This, and when it was purged softly.
    One(Arc<Object<P>>, Option<i64>),
}

/// A bounded store.
#[derive(Debug)]
pub struct Store<P> {
    slots: Vec<Option<Slot<P>>>,
    free: Vec<u32>,
    /// Slots by hash of the key, the newest last.
    index: BTreeMap<u64, Vec<u32>>,
    epochs: Epochs,
    forgotten: Forgotten,
    bytes: u64,
    bytes_max: u64,
    /// Counts up with each stored response and purge.
    sequence: u64,
    newest: u32,
    oldest: u32,
    /// Where SIEVE goes on looking for a victim.
    hand: u32,
    evicted: u64,
}

#[derive(Debug)]
struct Slot<P> {
    key: String,
    object: Arc<Object<P>>,
    /// The store's sequence when the object was asked for.
    sequence: u64,
    bytes: u64,
    visited: bool,
    newer: u32,
    older: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl<P> Store<P> {
    /// A store of at most `bytes_max` bytes.
    #[must_use]
    pub const fn new(bytes_max: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: BTreeMap::new(),
            epochs: Epochs::new(),
            forgotten: Forgotten::new(),
            bytes: 0,
            bytes_max,
            sequence: 1,
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            evicted: 0,
        }
    }

    /// The store's clock: taken when an object is asked for and given back when it is stored, so
    /// that a purge between the two counts.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes that are stored.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Objects that are stored, purged ones that nobody has asked for since included.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Objects that left for want of room.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What a request selects; of several the newest. What was purged for good goes.
    pub fn select<F: Fields + ?Sized>(&mut self, key: &str, request: &F) -> Selected<P> {
        let Some(at) = self.index.get(&hash(key)) else {
            return Selected::Nothing;
        };
        let mut others = false;
        let mut found = None;
        let mut gone = None;
        for &at in at.iter().rev() {
            let Some(slot) = slot(&self.slots, at).filter(|slot| slot.key == key) else {
                continue;
            };
            let purged = self.epochs.of(&slot.object.stored.tags, slot.sequence);
            if purged == Purged::Hard {
                gone = Some(at);
                continue;
            }
            if slot.object.stored.selecting.matches(request) {
                found = Some((at, purged));
                break;
            }
            others = true;
        }
        if let Some(at) = gone {
            self.remove(at);
        }
        match found.and_then(|(at, purged)| {
            let slot = self.slots.get_mut(at as usize)?.as_mut()?;
            slot.visited = true;
            Some((Arc::clone(&slot.object), purged))
        }) {
            Some((object, Purged::Soft(at_ms))) => Selected::One(object, Some(at_ms)),
            Some((object, _)) => Selected::One(object, None),
            None if others => Selected::OtherVariants,
            None => Selected::Nothing,
        }
    }

    /// Names of fields that what is stored under a key was selected by; empty where nothing is.
    #[must_use]
    pub fn selecting_names(&self, key: &str) -> Vec<String> {
        let slots = self.index.get(&hash(key)).into_iter().flatten().rev();
        slots
            .filter_map(|at| slot(&self.slots, *at))
            .find(|slot| slot.key == key)
            .map(|slot| slot.object.stored.selecting.names().to_vec())
            .unwrap_or_default()
    }

    /// Stores an object asked for at `sequence`, in place of what the same request selects.
    /// `fields_bytes` is what its header fields take. Too large a one is not stored.
    pub fn insert<F: Fields + ?Sized>(
        &mut self,
        key: &str,
        request: &F,
        object: Arc<Object<P>>,
        fields_bytes: u64,
        sequence: u64,
    ) -> bool {
        let bytes = OBJECT_OVERHEAD_BYTES
            + key.len() as u64
            + object.stored.selecting.bytes() as u64
            + fields_bytes
            + object.body_bytes;
        self.forget_variant(key, request);
        if bytes > self.bytes_max / OBJECT_SHARE
            || self.epochs.of(&object.stored.tags, sequence) == Purged::Hard
            || self.forgotten.is_before(hash(key), sequence)
        {
            return false;
        }
        while self.bytes + bytes > self.bytes_max {
            if !self.evict() {
                return false;
            }
        }
        let siblings: Vec<u32> = self.of_key(key).collect();
        if let Some(&oldest) = siblings.first().filter(|_| siblings.len() >= VARIANTS_MAX) {
            self.remove(oldest);
        }
        self.sequence += 1;
        self.push(Slot {
            key: String::from(key),
            object,
            sequence,
            bytes,
            visited: false,
            newer: NONE,
            older: self.newest,
        });
        true
    }

    /// Takes away what a request selects.
    pub fn forget_variant<F: Fields + ?Sized>(&mut self, key: &str, request: &F) {
        let same = self.of_key(key).find(|at| {
            slot(&self.slots, *at).is_some_and(|slot| slot.object.stored.selecting.matches(request))
        });
        if let Some(at) = same {
            self.remove(at);
        }
    }

    /// Takes away every variant of a key; how many there were.
    pub fn forget(&mut self, key: &str) -> usize {
        let all: Vec<u32> = self.of_key(key).collect();
        for at in &all {
            self.remove(*at);
        }
        // What is being fetched for it now is of before.
        self.sequence += 1;
        self.forgotten.note(hash(key), self.sequence);
        all.len()
    }

    /// Purges what carries a tag: stale from now on (soft), or gone.
    pub fn purge_tag(&mut self, tag: u64, soft: bool, now_ms: i64) {
        self.sequence += 1;
        self.epochs.purge_tag(tag, soft, self.sequence, now_ms);
    }

    /// Purges everything.
    pub fn purge_all(&mut self, soft: bool, now_ms: i64) {
        self.sequence += 1;
        self.epochs.purge_all(soft, self.sequence, now_ms);
        if !soft {
            self.slots.clear();
            self.free.clear();
            self.index.clear();
            self.bytes = 0;
            (self.newest, self.oldest, self.hand) = (NONE, NONE, NONE);
        }
    }

    fn of_key<'a>(&'a self, key: &'a str) -> impl Iterator<Item = u32> + 'a {
        let all = self.index.get(&hash(key)).into_iter().flatten().copied();
        all.filter(move |at| slot(&self.slots, *at).is_some_and(|slot| slot.key == key))
    }

    fn push(&mut self, slot: Slot<P>) {
        let (hash, bytes) = (hash(&slot.key), slot.bytes);
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.slots.get_mut(at as usize) {
                    *place = Some(slot);
                }
                at
            }
            None => {
                self.slots.push(Some(slot));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 objects of 512 bytes")
            }
        };
        if let Some(next) = self.slot_mut(self.newest) {
            next.newer = at;
        }
        self.newest = at;
        if self.oldest == NONE {
            self.oldest = at;
        }
        self.bytes += bytes;
        self.index.entry(hash).or_default().push(at);
    }

    /// SIEVE: from the hand towards the newest, the first that nobody asked for leaves; those
    /// that somebody did get another round.
    fn evict(&mut self) -> bool {
        let mut at = if self.hand == NONE {
            self.oldest
        } else {
            self.hand
        };
        while let Some(slot) = self.slot_mut(at) {
            let newer = slot.newer;
            if !slot.visited {
                self.hand = newer;
                self.remove(at);
                self.evicted += 1;
                return true;
            }
            slot.visited = false;
            at = if newer == NONE { self.oldest } else { newer };
        }
        false
    }

    fn remove(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(at);
        self.bytes -= slot.bytes;
        let hash = hash(&slot.key);
        if let Some(slots) = self.index.get_mut(&hash) {
            slots.retain(|other| *other != at);
            if slots.is_empty() {
                self.index.remove(&hash);
            }
        }
        match self.slot_mut(slot.newer) {
            Some(newer) => newer.older = slot.older,
            None => self.newest = slot.older,
        }
        match self.slot_mut(slot.older) {
            Some(older) => older.newer = slot.newer,
            None => self.oldest = slot.newer,
        }
        if self.hand == at {
            self.hand = slot.newer;
        }
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot<P>> {
        self.slots.get_mut(at as usize)?.as_mut()
    }
}

fn slot<P>(slots: &[Option<Slot<P>>], at: u32) -> Option<&Slot<P>> {
    slots.get(at as usize)?.as_ref()
}

/// The hash of a key; keys with the same hash are told apart by the key itself.
#[must_use]
pub fn hash(key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
