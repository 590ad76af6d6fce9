//! Random ensembles and rows for the laws: odd shapes, odd numbers.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::Matrix;

use super::*;

const FEATURES: u16 = 5;

/// A small generator, so that one seed makes a whole ensemble.
struct Random(u64);

impl Random {
    /// SplitMix64 (Steele et al. 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Few distinct numbers, so that values meet thresholds, and every odd one.
    fn value(&mut self) -> f32 {
        const ODD: [f32; 16] = [
            0.0,
            -0.0,
            1e-35,
            -1e-35,
            1.1e-35,
            f32::MIN_POSITIVE,
            1e-45,
            -1e-45,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            -0.5,
            -1.0,
            16_777_216.0,
            2_147_483_648.0,
        ];
        match self.below(10) {
            0 | 1 => ODD[self.below(ODD.len())],
            2..=4 => self.below(70) as f32,
            _ => (self.below(41) as f32 - 20.0) / 4.0,
        }
    }

    fn threshold(&mut self) -> f32 {
        self.value()
    }
}

/// What makes an ensemble, so that proptest reports and shrinks something readable.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) seed: u64,
    library: Library,
    average: bool,
    leaves: Vec<usize>,
    /// Percent of splits that take the newest leaf: 100 makes chains.
    chain: usize,
    /// Percent of nodes with categories or with zero as missing.
    irregular: usize,
}

pub(super) fn shape() -> impl Strategy<Value = Shape> {
    let leaves = prop_oneof![
        2 => Just(1_usize),
        6 => 2..=33_usize,
        2 => 34..=130_usize,
        1 => Just(LEAVES_MAX),
    ];
    (
        any::<u64>(),
        prop_oneof![Just(Library::LightGbm), Just(Library::XgBoost)],
        any::<bool>(),
        prop::collection::vec(leaves, 0..40),
        prop_oneof![Just(0_usize), Just(50), Just(100)],
        prop_oneof![Just(0_usize), Just(30)],
    )
        .prop_map(|(seed, library, average, leaves, chain, irregular)| Shape {
            seed,
            library,
            average,
            leaves,
            chain,
            irregular,
        })
}

pub(super) fn ensemble(shape: &Shape) -> Ensemble {
    let mut random = Random(shape.seed);
    let trees = shape
        .leaves
        .iter()
        .map(|&leaves| tree(&mut random, leaves, shape))
        .collect();
    Ensemble {
        library: shape.library,
        // Feature 4 is read by nodes and held by no matrix.
        features: (0..FEATURES).rev().collect(),
        trees,
        categories: (0..4).map(|_| random.next() as u32).collect(),
        base: match shape.library {
            Library::LightGbm => 0.0,
            Library::XgBoost => f64::from(random.value().clamp(-2.0, 2.0)),
        },
        average: shape.average,
        link: Link::Identity,
    }
}

/// Grows a tree by splitting leaves.
fn tree(random: &mut Random, leaves: usize, shape: &Shape) -> Tree {
    let mut tree = Tree::default();
    // Who points at each leaf: a node and whether as its left child.
    let mut parents = vec![None];
    while parents.len() < leaves {
        let split = if random.chance(shape.chain) {
            parents.len() - 1
        } else {
            random.below(parents.len())
        };
        let index = tree.nodes.len() as u16;
        if let Some((parent, left)) = parents[split] {
            let parent: &mut Node = &mut tree.nodes[usize::from(parent)];
            let child = if left {
                &mut parent.left
            } else {
                &mut parent.right
            };
            *child = Child::Node(index);
        }
        tree.nodes.push(Node {
            feature: random.below(usize::from(FEATURES)) as u16,
            test: test(random, shape.irregular),
            left: Child::Leaf(split as u16),
            right: Child::Leaf(parents.len() as u16),
        });
        // The new leaf is as often left as right, or chains would all lean one way.
        let flip = random.chance(50);
        if flip {
            let node = tree.nodes.last_mut().expect("just pushed");
            core::mem::swap(&mut node.left, &mut node.right);
        }
        parents[split] = Some((index, !flip));
        parents.push(Some((index, flip)));
    }
    for _ in 0..leaves {
        let leaf = (random.below(2_000_001) as f64 - 1e6) / 3e6;
        tree.leaves.push(match shape.library {
            Library::LightGbm => leaf,
            Library::XgBoost => f64::from(leaf as f32),
        });
    }
    tree
}

fn test(random: &mut Random, irregular: usize) -> Test {
    let nan_left = random.chance(50);
    match random.chance(irregular) {
        true if random.chance(50) => {
            let first = random.below(5);
            Test::OneOf {
                first: first as u32,
                words: random.below(5 - first) as u16,
                nan_left,
            }
        }
        zero_is_missing => Test::AtMost {
            threshold: random.threshold(),
            nan_left,
            zero_left: zero_is_missing.then(|| random.chance(50)),
        },
    }
}

pub(super) fn matrix(seed: u64, rows: usize, missing: usize) -> Matrix {
    let mut random = Random(seed);
    let held: Vec<u16> = (0..FEATURES - 1).collect();
    let mut matrix = Matrix::new(rows, &held);
    for feature in held {
        for value in &mut matrix.column_mut(feature)[..rows] {
            *value = if random.chance(missing) {
                f32::NAN
            } else {
                random.value()
            };
        }
    }
    matrix
}
