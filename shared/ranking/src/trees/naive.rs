//! Trees as they are written, a row at a time: what every other layout must equal.

use alloc::vec::Vec;

use crate::Matrix;

use super::ensemble::{Child, Ensemble, Library, Test, Tree};

/// LightGBM's `kZeroThreshold`: magnitudes up to this count as zero.
pub(super) const ZERO_MAX: f32 = 1e-35;

/// Sums of the leaves each row of `matrix` falls into.
pub(super) fn sums(ensemble: &Ensemble, matrix: &Matrix, sums: &mut Vec<f64>) {
    let columns: Vec<&[f32]> = ensemble
        .features
        .iter()
        .map(|&feature| matrix.column(feature))
        .collect();
    sums.clear();
    sums.extend((0..matrix.rows()).map(|row| sum(ensemble, &columns, row)));
}

fn sum(ensemble: &Ensemble, columns: &[&[f32]], row: usize) -> f64 {
    let leaves = ensemble
        .trees
        .iter()
        .map(|tree| leaf(ensemble, tree, columns, row));
    match ensemble.library {
        Library::LightGbm => leaves.fold(ensemble.base, |sum, leaf| sum + leaf),
        Library::XgBoost => {
            let base = ensemble.base as f32;
            f64::from(leaves.fold(base, |sum, leaf| sum + leaf as f32))
        }
    }
}

fn leaf(ensemble: &Ensemble, tree: &Tree, columns: &[&[f32]], row: usize) -> f64 {
    let mut at = tree.root();
    loop {
        match at {
            Child::Leaf(leaf) => return tree.leaves[usize::from(leaf)],
            Child::Node(node) => {
                let node = &tree.nodes[usize::from(node)];
                let value = columns[usize::from(node.feature)][row];
                at = if ensemble.goes_left(&node.test, value) {
                    node.left
                } else {
                    node.right
                };
            }
        }
    }
}

impl Ensemble {
    /// Whether a row with `value` goes left at a node with `test`.
    #[inline]
    pub(super) fn goes_left(&self, test: &Test, value: f32) -> bool {
        match *test {
            Test::AtMost {
                threshold,
                nan_left,
                zero_left,
            } => {
                if value.is_nan() {
                    return nan_left;
                }
                match zero_left {
                    Some(left) if value.abs() <= ZERO_MAX => left,
                    _ => value <= threshold,
                }
            }
            Test::OneOf {
                first,
                words,
                nan_left,
            } => {
                if value.is_nan() {
                    return nan_left;
                }
                let Some(category) = self.library.category(value) else {
                    return false;
                };
                let (first, word) = (first as usize, category as usize / 32);
                word < usize::from(words)
                    && self.categories[first + word] >> (category % 32) & 1 == 1
            }
        }
    }
}

impl Tree {
    /// Where rows start.
    pub(super) fn root(&self) -> Child {
        if self.nodes.is_empty() {
            Child::Leaf(0)
        } else {
            Child::Node(0)
        }
    }
}

impl Library {
    /// The category that `value` stands for: truncated toward zero, as both libraries do.
    fn category(self, value: f32) -> Option<u32> {
        let valid = match self {
            Self::LightGbm => value > -1.0 && value < 2_147_483_648.0,
            Self::XgBoost => (0.0..16_777_216.0).contains(&value),
        };
        // A value between -1 and 0 becomes 0, not minus something: the cast saturates.
        valid.then_some(value as u32)
    }
}
