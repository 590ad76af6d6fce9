//! Evaluates ensembles as plainly as can be, whatever faster evaluators do.

use edgewise_ranking::trees::{Child, Ensemble, Library, Test, Tree};

/// The raw prediction, as LightGBM sums it.
pub(crate) fn lightgbm_sum(ensemble: &Ensemble, row: &[f32]) -> f64 {
    let mut sum = ensemble.base;
    for tree in &ensemble.trees {
        sum += leaf(ensemble, tree, row);
    }
    if ensemble.average {
        sum /= ensemble.trees.len() as f64;
    }
    sum
}

/// The margin, as XGBoost sums it.
pub(crate) fn xgboost_sum(ensemble: &Ensemble, row: &[f32]) -> f32 {
    let mut sum = ensemble.base as f32;
    for tree in &ensemble.trees {
        sum += leaf(ensemble, tree, row) as f32;
    }
    sum
}

fn leaf(ensemble: &Ensemble, tree: &Tree, row: &[f32]) -> f64 {
    let mut at = if tree.nodes.is_empty() {
        Child::Leaf(0)
    } else {
        Child::Node(0)
    };
    loop {
        match at {
            Child::Leaf(leaf) => return tree.leaves[usize::from(leaf)],
            Child::Node(node) => {
                let node = &tree.nodes[usize::from(node)];
                let value = row[usize::from(ensemble.features[usize::from(node.feature)])];
                at = if goes_left(ensemble, node.test, value) {
                    node.left
                } else {
                    node.right
                };
            }
        }
    }
}

fn goes_left(ensemble: &Ensemble, test: Test, value: f32) -> bool {
    match test {
        Test::AtMost { nan_left, .. } | Test::OneOf { nan_left, .. } if value.is_nan() => nan_left,
        Test::AtMost {
            zero_left: Some(left),
            ..
        } if value.abs() <= 1e-35 => left,
        Test::AtMost { threshold, .. } => value <= threshold,
        Test::OneOf { first, words, .. } => {
            let none = match ensemble.library {
                Library::LightGbm => value <= -1.0,
                Library::XgBoost => value < 0.0,
            };
            // Beyond 2^24 no set has a category; conversion saturates.
            let category = value as u32;
            let word = category / 32;
            !none
                && word < u32::from(words)
                && ensemble.categories[(first + word) as usize] >> (category % 32) & 1 == 1
        }
    }
}
