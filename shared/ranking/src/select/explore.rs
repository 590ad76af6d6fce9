//! Explore slots: now and then a position goes to a new item that nobody has judged yet.

use xxhash_rust::xxh3::xxh3_64;

/// Whether a 1-based feed position is an explore slot; `every` 0 is none.
pub(crate) fn is_slot(position: u32, every: u32) -> bool {
    every != 0 && position.is_multiple_of(every)
}

/// The index of the drawn candidate among `candidates` of them, at least 1.
///
/// XXH3-64 over seed (8 bytes) and position (4 bytes), little-endian, scaled to the
/// range by its upper bits, so that every index has the same share up to 2^-32.
pub(crate) fn draw(seed: u64, position: u32, candidates: usize) -> usize {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&position.to_le_bytes());
    ((u128::from(xxh3_64(&bytes)) * candidates as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_every_tenth_position_counted_from_one() {
        let slots: alloc::vec::Vec<u32> = (1..=40).filter(|&at| is_slot(at, 10)).collect();
        assert_eq!(slots, [10, 20, 30, 40]);
        assert!((1..=40).all(|at| !is_slot(at, 0)));
    }

    #[test]
    fn draws_are_uniform() {
        let mut drawn = [0_u32; 7];
        for seed in 0..7_000 {
            drawn[draw(seed, 10, 7)] += 1;
        }
        // Binomial: mean 1,000, standard deviation 29.
        assert!(
            drawn.iter().all(|&count| (880..1_120).contains(&count)),
            "{drawn:?}"
        );
        assert_eq!(draw(u64::MAX, 20, 1), 0);
    }
}
