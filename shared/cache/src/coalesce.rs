//! One request to the origin for many: a machine of flights.
//!
//! The first request for a key leads, those that come before its answer is known follow. When the
//! head of the answer is known to be shareable, followers take the answer as it arrives; when it
//! is not, they are released to fetch by themselves and for a while nobody waits for that key
//! again (hit for miss), since waiting in turn for answers that nobody may share is the one way
//! in which coalescing makes things worse. When a leader dies, one follower takes over.

use alloc::collections::BTreeMap;
use alloc::string::String;

use xxhash_rust::xxh3::xxh3_64;

/// Keys that are remembered as not shareable; beyond, the oldest is forgotten.
pub const HIT_FOR_MISS_MAX: usize = 8_192;

/// How long a key is remembered as not shareable, milliseconds.
pub const HIT_FOR_MISS_MS: i64 = 10_000;

/// Flights in the air at once; beyond, requests fetch by themselves.
pub const FLIGHTS_MAX: usize = 65_536;

/// What a request does that needs the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined<T> {
    /// Fetch for all, and tell the machine how it went by this number.
    Lead(u64, T),
    /// Wait for the leader.
    Follow(T),
    /// Fetch for yourself: answers under this key cannot be shared.
    Alone,
}

/// Flights by key. `T` is the host's handle to what they share, made by leaders.
#[derive(Debug)]
pub struct Flights<T> {
    flying: BTreeMap<String, Flight<T>>,
    /// XXH3-64 of keys whose answers are not shareable, with the time until which. Two keys of one
    /// hash share the fate of fetching alone for a while.
    alone: BTreeMap<u64, i64>,
    next: u64,
}

#[derive(Debug)]
struct Flight<T> {
    number: u64,
    shared: T,
}

impl<T: Clone> Flights<T> {
    /// Nothing is in the air.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            flying: BTreeMap::new(),
            alone: BTreeMap::new(),
            next: 0,
        }
    }

    /// A request needs the origin. `shared` makes the handle if it leads.
    pub fn join(&mut self, key: &str, now_ms: i64, shared: impl FnOnce() -> T) -> Joined<T> {
        if let Some(flight) = self.flying.get(key) {
            return Joined::Follow(flight.shared.clone());
        }
        let hash = xxh3_64(key.as_bytes());
        match self.alone.get(&hash) {
            Some(until_ms) if now_ms < *until_ms => return Joined::Alone,
            Some(_) => {
                self.alone.remove(&hash);
            }
            None => {}
        }
        if self.flying.len() >= FLIGHTS_MAX {
            return Joined::Alone;
        }
        self.next += 1;
        let shared = shared();
        let flight = Flight {
            number: self.next,
            shared: shared.clone(),
        };
        self.flying.insert(String::from(key), flight);
        Joined::Lead(self.next, shared)
    }

    /// Whether somebody leads for a key.
    #[must_use]
    pub fn is_flying(&self, key: &str) -> bool {
        self.flying.contains_key(key)
    }

    /// A flight is over: its answer is stored, or passed to those who have joined. Who comes
    /// later starts anew. A leader whose place was taken over changes nothing.
    pub fn land(&mut self, key: &str, number: u64) -> Option<T> {
        if self
            .flying
            .get(key)
            .is_some_and(|flight| flight.number == number)
        {
            return self.flying.remove(key).map(|flight| flight.shared);
        }
        None
    }

    /// The head is known and nobody may share it: followers are released, and until
    /// [`HIT_FOR_MISS_MS`] from now nobody waits for this key.
    pub fn release(&mut self, key: &str, number: u64, now_ms: i64) -> Option<T> {
        let shared = self.land(key, number)?;
        let until_ms = now_ms.saturating_add(HIT_FOR_MISS_MS);
        self.alone.insert(xxh3_64(key.as_bytes()), until_ms);
        if self.alone.len() > HIT_FOR_MISS_MAX {
            self.alone.retain(|_, until_ms| now_ms < *until_ms);
        }
        if self.alone.len() > HIT_FOR_MISS_MAX {
            // Any will do: it costs one wait.
            self.alone.pop_first();
        }
        Some(shared)
    }

    /// An answer under this key could be shared after all.
    pub fn share_again(&mut self, key: &str) {
        self.alone.remove(&xxh3_64(key.as_bytes()));
    }
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn one_leads_and_the_rest_follow_until_it_lands() {
        let mut flights = Flights::new();
        let Joined::Lead(number, 'a') = flights.join("k", 0, || 'a') else {
            panic!("the first leads");
        };
        for _ in 0..199 {
            assert_eq!(flights.join("k", 0, || 'b'), Joined::Follow('a'));
        }
        assert_eq!(flights.land("k", number), Some('a'));
        assert!(matches!(flights.join("k", 0, || 'c'), Joined::Lead(_, 'c')));
    }

    #[test]
    fn an_unshareable_answer_does_not_serialise() {
        let mut flights = Flights::new();
        let Joined::Lead(number, ()) = flights.join("k", 0, || ()) else {
            panic!("the first leads");
        };
        flights.release("k", number, 0);
        for _ in 0..3 {
            assert_eq!(flights.join("k", 5, || ()), Joined::Alone);
        }
        let later = flights.join("k", HIT_FOR_MISS_MS, || ());
        assert!(matches!(later, Joined::Lead(..)), "{later:?}");
    }

    #[test]
    fn a_dead_leader_changes_nothing_after_another_took_over() {
        let mut flights = Flights::new();
        let Joined::Lead(first, 1) = flights.join("k", 0, || 1) else {
            panic!("the first leads");
        };
        flights.land("k", first);
        let Joined::Lead(second, 2) = flights.join("k", 0, || 2) else {
            panic!("a follower takes over");
        };
        assert_eq!(flights.land("k", first), None);
        assert_eq!(flights.release("k", first, 0), None);
        assert_eq!(flights.join("k", 0, || 3), Joined::Follow(2));
        assert_eq!(flights.land("k", second), Some(2));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut flights = Flights::new();
        for n in 0..HIT_FOR_MISS_MAX + 100 {
            let key = format!("{n}");
            if let Joined::Lead(number, ()) = flights.join(&key, 0, || ()) {
                flights.release(&key, number, 0);
            }
        }
        assert!(flights.alone.len() <= HIT_FOR_MISS_MAX);
    }

    proptest! {
        /// At any time at most one leads for a key, whoever lands or dies in between.
        #[test]
        fn at_most_one_leads(steps: Vec<(u8, bool)>) {
            let mut flights = Flights::new();
            let mut leaders: Vec<(u8, u64)> = Vec::new();
            for (key, ends) in steps {
                let (key, name) = (key % 4, format!("{}", key % 4));
                if ends {
                    if let Some(at) = leaders.iter().position(|leader| leader.0 == key) {
                        let (_, number) = leaders.remove(at);
                        prop_assert!(flights.land(&name, number).is_some());
                    }
                } else if let Joined::Lead(number, ()) = flights.join(&name, 0, || ()) {
                    prop_assert!(!leaders.iter().any(|leader| leader.0 == key));
                    leaders.push((key, number));
                }
            }
        }
    }
}
