//! The set of items that earlier pages showed, small enough for a token.
//!
//! A Golomb-coded set (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient
//! Bloom Filters", 2007) per generation of 200 items. Six generations are kept, so the
//! last 1,000 items are always in it, and it never grows beyond 1,200. A sorted set has
//! no order of age; generations give it just enough to forget the oldest.

use alloc::vec::Vec;

use crate::limits::SHOWN_MIN;

/// Items of a full generation.
const GENERATION: usize = 200;
/// Generations kept: enough full ones for the last 1,000, and the one being filled.
const GENERATIONS: usize = SHOWN_MIN / GENERATION + 1;
/// Hashes are reduced to this range: 256 times the largest set, so that at most one in
/// 256 unseen items is taken for a shown one.
const RANGE: u64 = 256 * (GENERATION * GENERATIONS) as u64;

/// Remembers at least the last 1,000 inserted hashes; others are taken for members with
/// a probability of at most 1/256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownSet {
    /// Newest last; each sorted ascending, without repeats, all but the last full.
    generations: Vec<Vec<u32>>,
}

impl ShownSet {
    /// Whether `hash` was inserted lately (or collides with one that was).
    #[must_use]
    pub fn contains(&self, hash: u64) -> bool {
        let value = reduce(hash);
        self.generations
            .iter()
            .any(|generation| generation.binary_search(&value).is_ok())
    }

    /// Remembers `hash`, forgetting the oldest generation where there are too many.
    pub fn insert(&mut self, hash: u64) {
        let value = reduce(hash);
        if self
            .generations
            .last()
            .is_none_or(|newest| newest.len() >= GENERATION)
        {
            if self.generations.len() >= GENERATIONS {
                self.generations.remove(0);
            }
            self.generations.push(Vec::with_capacity(GENERATION));
        }
        if let Some(newest) = self.generations.last_mut()
            && let Err(at) = newest.binary_search(&value)
        {
            newest.insert(at, value);
        }
    }

    /// Number of hashes that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.generations.iter().map(Vec::len).sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    /// Appends `u8` generations, then each as `u8` length, `u8` Rice parameter and the
    /// coded gaps, padded to a byte.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.generations.len()).unwrap_or(u8::MAX));
        for generation in &self.generations {
            out.push(u8::try_from(generation.len()).unwrap_or(u8::MAX));
            let parameter = rice_parameter(generation.len());
            let mut bits = BitWriter { out, used: 8 };
            let mut before = 0;
            for &value in generation {
                bits.rice(value - before, parameter);
                before = value + 1;
            }
        }
    }

    /// Reads what [`ShownSet::encode`] wrote; returns the rest of the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&count, mut rest) = bytes.split_first()?;
        if usize::from(count) > GENERATIONS {
            return None;
        }
        let mut generations = Vec::with_capacity(usize::from(count));
        for index in 0..count {
            let (&len, coded) = rest.split_first()?;
            let len = usize::from(len);
            let full = index + 1 < count;
            if len == 0 || len > GENERATION || (full && len != GENERATION) {
                return None;
            }
            let parameter = rice_parameter(len);
            let mut bits = BitReader {
                bytes: coded,
                at: 0,
            };
            let mut generation = Vec::with_capacity(len);
            let mut before = 0_u32;
            for _ in 0..len {
                let value = before.checked_add(bits.rice(parameter)?)?;
                if u64::from(value) >= RANGE {
                    return None;
                }
                generation.push(value);
                before = value + 1;
            }
            generations.push(generation);
            rest = bits.rest()?;
        }
        Some((Self { generations }, rest))
    }
}

/// Multiply-shift: the hash's place in `0..RANGE`, evenly.
fn reduce(hash: u64) -> u32 {
    ((u128::from(hash) * u128::from(RANGE)) >> 64) as u32
}

/// log2 of the mean gap: within half a bit of the optimal Golomb code.
fn rice_parameter(len: usize) -> u32 {
    (RANGE / (len as u64).max(1)).ilog2()
}

/// Writes bits from the lowest up.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits used of the last byte.
    used: u32,
}

impl BitWriter<'_> {
    fn bit(&mut self, bit: bool) {
        if self.used == 8 {
            self.out.push(0);
            self.used = 0;
        }
        if let Some(last) = self.out.last_mut() {
            *last |= u8::from(bit) << self.used;
        }
        self.used += 1;
    }

    /// The quotient in unary (ones, ended by a zero), then `parameter` bits.
    fn rice(&mut self, value: u32, parameter: u32) {
        for _ in 0..value >> parameter {
            self.bit(true);
        }
        self.bit(false);
        for at in 0..parameter {
            self.bit(value >> at & 1 == 1);
        }
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bit position.
    at: usize,
}

impl<'a> BitReader<'a> {
    fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    fn rice(&mut self, parameter: u32) -> Option<u32> {
        let mut value = 0_u32;
        while self.bit()? {
            value = value.checked_add(1 << parameter)?;
        }
        for at in 0..parameter {
            value |= u32::from(self.bit()?) << at;
        }
        Some(value)
    }

    /// What follows the last byte that was begun; its padding must be zero.
    fn rest(mut self) -> Option<&'a [u8]> {
        while !self.at.is_multiple_of(8) {
            if self.bit()? {
                return None;
            }
        }
        self.bytes.get(self.at / 8..)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::Random;

    #[test]
    fn the_last_thousand_are_never_forgotten() {
        let mut random = Random(3);
        let hashes: Vec<u64> = (0..5_000).map(|_| random.next()).collect();
        let mut set = ShownSet::default();
        for (at, &hash) in hashes.iter().enumerate() {
            set.insert(hash);
            assert!(set.len() <= GENERATION * GENERATIONS);
            if at % 97 == 0 {
                let last = &hashes[at.saturating_sub(SHOWN_MIN - 1)..=at];
                assert!(last.iter().all(|&hash| set.contains(hash)), "after {at}");
            }
        }
    }

    #[test]
    fn at_most_about_one_in_256_others_is_taken_for_shown() {
        let mut random = Random(4);
        let mut set = ShownSet::default();
        for _ in 0..1_200 {
            set.insert(random.next());
        }
        let wrong = (0..256_000).filter(|_| set.contains(random.next())).count();
        std::println!("false positives: 1 in {}", 256_000 / wrong.max(1));
        assert!(
            (700..=1_150).contains(&wrong),
            "{wrong} of 256000, 1000 expected"
        );
    }

    #[test]
    fn a_full_set_takes_about_twelve_bits_an_item() {
        let mut random = Random(5);
        let mut set = ShownSet::default();
        for _ in 0..1_200 {
            set.insert(random.next());
        }
        let mut out = Vec::new();
        set.encode(&mut out);
        assert!(out.len() * 8 <= set.len() * 13, "{} bytes", out.len());
    }

    proptest! {
        #[test]
        fn a_set_comes_back(hashes in prop::collection::vec(any::<u64>(), 0..700)) {
            let mut set = ShownSet::default();
            hashes.iter().for_each(|&hash| set.insert(hash));
            let mut out = Vec::new();
            set.encode(&mut out);
            out.extend_from_slice(b"rest");
            prop_assert_eq!(ShownSet::decode(&out), Some((set, &b"rest"[..])));
        }

        #[test]
        fn any_bytes_decode_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ShownSet::decode(&bytes);
        }
    }
}
