//! The total order of scored candidates, sorted only as far as a page looks.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::candidates::Texts;
use crate::sort::sort_first;

/// An eligible candidate: 16 bytes, so that sorting moves little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Ascending as the score descends.
    key: u64,
    /// Row in the candidates.
    pub(crate) row: u32,
    /// Index of the author, clamped to the author table's length.
    pub(crate) author: u32,
}

impl Entry {
    /// `score` is neither NaN nor `-0.0`.
    pub(crate) fn new(score: f64, row: u32, author: u32) -> Self {
        Self {
            key: key_of(score),
            row,
            author,
        }
    }

    /// The score the entry was made with.
    pub(crate) fn score(self) -> f64 {
        score_of(self.key)
    }
}

const SIGN: u64 = 1 << 63;

/// Maps a float to an integer that ascends as the float descends.
fn key_of(score: f64) -> u64 {
    let bits = score.to_bits();
    if bits & SIGN == 0 {
        !(bits | SIGN)
    } else {
        bits
    }
}

fn score_of(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key & !SIGN } else { key })
}

/// Entries by descending score, ties by ascending UTF-8 bytes of the id.
///
/// Only a prefix is sorted, and it grows on demand: a page of 20 from 900 candidates
/// looks at a few dozen.
pub(crate) struct Order<'a> {
    ids: &'a Texts,
    entries: Vec<Entry>,
    sorted: usize,
}

/// Smallest step by which the sorted prefix grows; a page of 20 with the look-ahead of
/// variety fits into one.
const STEP: usize = 48;

impl<'a> Order<'a> {
    pub(crate) fn new(ids: &'a Texts, entries: Vec<Entry>) -> Self {
        Self {
            ids,
            entries,
            sorted: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries, in no particular order beyond the sorted prefix.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry at 0-based rank `index`.
    pub(crate) fn get(&mut self, index: usize) -> Option<Entry> {
        if index >= self.sorted {
            self.sort_to(index + 1);
        }
        self.entries.get(index).copied()
    }

    /// The 0-based rank of `entry`, counted without sorting.
    pub(crate) fn rank_of(&self, entry: Entry) -> usize {
        self.entries
            .iter()
            .filter(|&other| compare(self.ids, other, &entry).is_lt())
            .count()
    }

    /// Sorts the prefix to at least `wanted` entries. It grows geometrically, so that
    /// walking all entries costs no more than one sort.
    pub(crate) fn sort_to(&mut self, wanted: usize) {
        let ids = self.ids;
        let len = self.entries.len();
        if wanted <= self.sorted || self.sorted == len {
            return;
        }
        let end = wanted.max(self.sorted + STEP).max(2 * self.sorted).min(len);
        let rest = &mut self.entries[self.sorted..];
        sort_first(rest, end - self.sorted, |a, b| compare(ids, a, b).is_lt());
        self.sorted = end;
    }
}

/// The row decides last, so that the order is total even over equal ids.
#[inline]
fn compare(ids: &Texts, a: &Entry, b: &Entry) -> Ordering {
    a.key.cmp(&b.key).then_with(|| {
        let (id_a, id_b) = (ids.bytes_of(a.row as usize), ids.bytes_of(b.row as usize));
        id_a.cmp(id_b).then(a.row.cmp(&b.row))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_as_scores_descend_and_give_the_score_back() {
        let scores = [
            f64::MAX,
            1.5,
            1.0,
            f64::MIN_POSITIVE,
            5e-324,
            0.0,
            -5e-324,
            -1.0,
            f64::MIN,
        ];
        let falling = scores.into_iter().chain([f64::NEG_INFINITY]);
        let keys: Vec<u64> = falling.clone().map(key_of).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:x?}");
        for (score, key) in falling.zip(keys) {
            assert_eq!(score_of(key).to_bits(), score.to_bits());
        }
    }

    #[test]
    fn prefix_by_prefix_is_the_full_sort() {
        let mut ids = Texts::default();
        let mut entries = Vec::new();
        for row in 0..500_u32 {
            ids.push(&alloc::format!("id{}", row * 7919 % 500));
            entries.push(Entry::new(f64::from(row % 13), row, 0));
        }
        let mut full = entries.clone();
        full.sort_by(|a, b| compare(&ids, a, b));
        let mut order = Order::new(&ids, entries);
        for (rank, &entry) in full.iter().enumerate() {
            assert_eq!(order.rank_of(entry), rank);
            assert_eq!(order.get(rank), Some(entry));
        }
        assert_eq!(order.get(500), None);
    }
}
