//! Counting in bounded memory: distinct values, the heaviest value, repeated values.

use hashbrown::HashMap;

/// Registers of [`Distinct`] (2^11): a standard error of 1.04/sqrt(2048) = 2.3 %.
const REGISTERS: usize = 2_048;
/// Counters of [`Heaviest`].
pub(super) const HEAVY_MAX: usize = 256;
/// Values that [`Repeats`] remembers.
pub(super) const REPEATS_MAX: usize = 4_096;

/// How many distinct hashes there were: HyperLogLog (Flajolet et al. 2007).
#[derive(Clone, Debug)]
pub(super) struct Distinct(Box<[u8; REGISTERS]>);

impl Default for Distinct {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Distinct {
    pub(super) fn add(&mut self, hash: u64) {
        let at = (hash % REGISTERS as u64) as usize;
        let rest = hash / REGISTERS as u64;
        // 53 bits are left; the rank is the place of the first one bit.
        let rank = (rest.trailing_zeros().min(52) + 1) as u8;
        if let Some(register) = self.0.get_mut(at) {
            *register = (*register).max(rank);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (register, other) in self.0.iter_mut().zip(other.0.iter()) {
            *register = (*register).max(*other);
        }
    }

    pub(super) fn estimate(&self) -> f64 {
        let m = REGISTERS as f64;
        let sum: f64 = self
            .0
            .iter()
            .map(|rank| 0.5_f64.powi(i32::from(*rank)))
            .sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty = self.0.iter().filter(|rank| **rank == 0).count();
        if raw <= 2.5 * m && empty > 0 {
            // Few values: the empty registers tell more (linear counting).
            m * (m / empty as f64).ln()
        } else {
            raw
        }
    }
}

/// How often the heaviest value came: Misra and Gries, 1982. Never more than it did, and less
/// by at most 1/257 of all, so a value that stands out here does stand out.
#[derive(Clone, Debug, Default)]
pub(super) struct Heaviest(HashMap<u64, u64>);

impl Heaviest {
    pub(super) fn add(&mut self, hash: u64) {
        if let Some(count) = self.0.get_mut(&hash) {
            *count += 1;
        } else if self.0.len() < HEAVY_MAX {
            self.0.insert(hash, 1);
        } else {
            self.0.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// The count of the heaviest value of both.
    pub(super) fn with(&self, other: &Self) -> u64 {
        let count = |map: &Self, hash: &u64| map.0.get(hash).copied().unwrap_or(0);
        let hashes = self.0.keys().chain(other.0.keys());
        hashes
            .map(|hash| count(self, hash) + count(other, hash))
            .max()
            .unwrap_or(0)
    }
}

/// Values that came with several keys. Exact of a sample: of the values whose hash ends in
/// `level` zeros, chosen so that they fit (distinct sampling, Gibbons 2001).
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    level: u32,
    /// Value to the first key it came with, and whether it came with another.
    seen: HashMap<u64, (u64, bool)>,
}

impl Repeats {
    /// Whether this value came before with another key, and is the first time found to.
    pub(super) fn add(&mut self, value: u64, key: u64) -> bool {
        if value.trailing_zeros() < self.level {
            return false;
        }
        let entry = self.seen.entry(value).or_insert((key, false));
        let repeated = entry.0 != key && !entry.1;
        entry.1 |= repeated;
        while self.seen.len() > REPEATS_MAX {
            self.level += 1;
            let level = self.level;
            self.seen.retain(|value, _| value.trailing_zeros() >= level);
        }
        repeated
    }

    /// Share of the sampled values that came with one key only.
    pub(super) fn uniqueness(&self) -> f64 {
        if self.seen.is_empty() {
            return 1.0;
        }
        let repeated = self.seen.values().filter(|(_, repeated)| *repeated).count();
        1.0 - repeated as f64 / self.seen.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn hash(value: u64) -> u64 {
        xxh3_64(&value.to_le_bytes())
    }

    #[test]
    fn distinct_values_are_counted_within_a_few_percent() {
        for wanted in [10, 1_000, 5_000, 200_000] {
            let (mut a, mut b) = (Distinct::default(), Distinct::default());
            for value in 0..wanted {
                a.add(hash(value));
                b.add(hash(value / 2));
            }
            a.merge(&b);
            let error = (a.estimate() / wanted as f64 - 1.0).abs();
            assert!(error < 0.08, "{wanted}: {}", a.estimate());
        }
    }

    #[test]
    fn the_heaviest_value_is_never_overestimated() {
        let (mut heavy, mut other) = (Heaviest::default(), Heaviest::default());
        for value in 0..100_000_u64 {
            heavy.add(hash(if value % 20 == 0 { 7 } else { value }));
            other.add(hash(value));
        }
        let found = heavy.with(&Heaviest::default());
        assert!((4_600..=5_000).contains(&found), "{found}");
        assert!(
            other.with(&other) <= 2 * 100_000 / 257,
            "{}",
            other.with(&other)
        );
        assert!(heavy.0.len() <= HEAVY_MAX);
    }

    #[test]
    fn repeated_values_are_found_once_each_in_bounded_memory() {
        let mut repeats = Repeats::default();
        let mut found = 0;
        for row in 0..50_000_u64 {
            // Every tenth value belongs to two rows; each row comes twice.
            let value = if row % 10 == 1 { row - 1 } else { row };
            for _ in 0..2 {
                found += u32::from(repeats.add(hash(value), row));
            }
        }
        assert!(repeats.seen.len() <= REPEATS_MAX);
        assert!(found > 100, "{found}");
        let uniqueness = repeats.uniqueness();
        assert!((0.86..0.92).contains(&uniqueness), "{uniqueness}");
    }
}
