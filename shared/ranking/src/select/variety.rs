//! Variety by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998), by tags,
//! by vectors, or by both.

use crate::candidates::Candidates;
use crate::config::SelectionConfig;
use crate::vectors::cosine_i8;

/// How alike items are, 0..=1.
pub(crate) struct Variety<'a> {
    candidates: &'a Candidates,
    /// Share of the vectors; the rest is that of the tags.
    vectors: f64,
}

impl<'a> Variety<'a> {
    pub(crate) fn new(candidates: &'a Candidates, config: &SelectionConfig) -> Self {
        let vectors = config.variety_vectors;
        Self {
            candidates,
            // NaN is no share.
            vectors: if (0.0..=1.0).contains(&vectors) {
                vectors
            } else {
                0.0
            },
        }
    }

    /// Similarity of two rows, each with its [`tag_mask`].
    #[inline]
    pub(crate) fn similarity(&self, [(a, mask_a), (b, mask_b)]: [(u32, u64); 2]) -> f64 {
        let tags = if mask_a & mask_b == 0 {
            0.0
        } else {
            let [a, b] = [a, b].map(|row| self.candidates.tags_of(row as usize));
            jaccard(a, b)
        };
        if self.vectors > 0.0 {
            (1.0 - self.vectors) * tags + self.vectors * self.of_vectors(a, b)
        } else {
            tags
        }
    }

    /// Cosine of the sketches where it is above 0; 0 where one is missing.
    fn of_vectors(&self, a: u32, b: u32) -> f64 {
        let [a, b] = [a, b].map(|row| self.candidates.sketch.of(row as usize));
        match (a, b) {
            (Some(a), Some(b)) => cosine_i8(a, b).max(0.0),
            _ => 0.0,
        }
    }
}

/// A row's tags as a set of 64 bits: disjoint bits mean disjoint tags.
pub(crate) fn tag_mask(candidates: &Candidates, row: u32) -> u64 {
    candidates
        .tags_of(row as usize)
        .iter()
        .fold(0, |mask, &tag| mask | 1 << (tag % 64))
}

/// Jaccard index of two ascending runs of tags; 0 where both are empty.
pub(crate) fn jaccard(a: &[u16], b: &[u16]) -> f64 {
    let (mut i, mut j, mut shared) = (0, 0, 0_usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        shared += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    if shared == 0 {
        0.0
    } else {
        shared as f64 / (a.len() + b.len() - shared) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jaccard_of_sorted_tags() {
        assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
        assert_eq!(jaccard(&[1], &[1]), 1.0);
        assert_eq!(jaccard(&[1], &[2, 3]), 0.0);
        assert_eq!(jaccard(&[], &[]), 0.0);
    }
}
