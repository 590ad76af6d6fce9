//! Sets of features.

use alloc::vec::Vec;

use super::{Derived, Feature, WIDTH};

/// A set of rows of the feature table, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet(u64);

const _: () = assert!(WIDTH <= u64::BITS as usize, "a set is one word");

impl FeatureSet {
    /// The rows of `features` that the table has.
    #[must_use]
    pub fn of_rows(features: &[u16]) -> Self {
        let known = features.iter().filter(|&&row| usize::from(row) < WIDTH);
        Self(known.fold(0, |bits, row| bits | 1 << row))
    }

    /// These stored features.
    #[must_use]
    pub const fn stored<const N: usize>(features: [Feature; N]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < N {
            bits |= 1 << features[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the row is in the set.
    #[must_use]
    pub const fn contains(self, row: usize) -> bool {
        row < WIDTH && self.0 >> row & 1 == 1
    }

    /// The set with every stored feature that its derived ones are computed from.
    #[must_use]
    pub fn with_inputs(self) -> Self {
        let wanted = Derived::ALL
            .iter()
            .filter(|&&derived| self.contains(derived as usize));
        wanted.fold(self, |set, derived| set.union(derived.inputs()))
    }

    /// The rows in ascending order.
    #[must_use]
    pub fn rows(self) -> Vec<u16> {
        let rows = 0..WIDTH as u16;
        rows.filter(|&row| self.contains(usize::from(row)))
            .collect()
    }
}
