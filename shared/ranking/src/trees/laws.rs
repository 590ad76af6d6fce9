//! Laws of evaluators: every layout gives the bits of the naive one, on any ensemble.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::Matrix;

use super::*;

const FEATURES: u16 = 5;
const LAYOUTS: [Layout; 1] = [Layout::QuickScorer];

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
        let value = self.value();
        if value == f32::INFINITY { 3.0 } else { value }
    }
}

/// What makes an ensemble, so that proptest reports and shrinks something readable.
#[derive(Clone, Debug)]
struct Shape {
    seed: u64,
    library: Library,
    average: bool,
    leaves: Vec<usize>,
    /// Percent of splits that take the newest leaf: 100 makes chains.
    chain: usize,
    /// Percent of nodes with categories or with zero as missing.
    irregular: usize,
}

fn shape() -> impl Strategy<Value = Shape> {
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

fn ensemble(shape: &Shape) -> Ensemble {
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

fn matrix(seed: u64, rows: usize, missing: usize) -> Matrix {
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

fn bits(ensemble: &Ensemble, layout: Layout, matrix: &Matrix) -> Vec<u64> {
    let forest = Forest::with_layout(ensemble.clone(), layout).expect("a valid ensemble");
    assert_eq!(forest.layout(), layout);
    // What was in the vector must not matter.
    let mut sums = vec![7.0; 3];
    forest.sums(matrix, &mut sums);
    sums.iter().map(|sum| sum.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn layouts_agree_to_the_bit(
        shape in shape(),
        rows in prop_oneof![Just(0_usize), Just(1), Just(15), Just(16), Just(17), Just(32), 33..70_usize],
        missing in prop_oneof![Just(0_usize), Just(5), Just(60)],
    ) {
        let ensemble = ensemble(&shape);
        let matrix = matrix(shape.seed ^ 1, rows, missing);
        let expected = bits(&ensemble, Layout::Naive, &matrix);
        prop_assert_eq!(expected.len(), rows);
        for layout in LAYOUTS {
            prop_assert_eq!(&bits(&ensemble, layout, &matrix), &expected, "{:?}", layout);
        }
    }
}

/// Whether `values` go left, in every layout.
#[track_caller]
fn check(library: Library, test: Test, categories: &[u32], values: &[f32], left: &[bool]) {
    let node = Node {
        feature: 0,
        test,
        left: Child::Leaf(1),
        right: Child::Leaf(0),
    };
    let ensemble = Ensemble {
        library,
        features: vec![3],
        trees: vec![Tree {
            nodes: vec![node],
            leaves: vec![0.0, 1.0],
        }],
        categories: categories.to_vec(),
        ..Ensemble::default()
    };
    let mut matrix = Matrix::new(values.len(), &[3]);
    matrix.column_mut(3)[..values.len()].copy_from_slice(values);
    for layout in LAYOUTS.into_iter().chain([Layout::Naive]) {
        let forest = Forest::with_layout(ensemble.clone(), layout).expect("valid");
        let mut sums = Vec::new();
        forest.sums(&matrix, &mut sums);
        let went: Vec<bool> = sums.iter().map(|&sum| sum == 1.0).collect();
        assert_eq!(went, left, "{layout:?} {test:?} of {values:?}");
    }
}

#[test]
fn infinities_compare_as_numbers_and_nan_has_its_own_side() {
    let values = [f32::NEG_INFINITY, -1.0, 2.0, 2.5, f32::INFINITY, f32::NAN];
    for nan_left in [false, true] {
        let at_most = |threshold| Test::AtMost {
            threshold,
            nan_left,
            zero_left: None,
        };
        let library = Library::LightGbm;
        check(
            library,
            at_most(2.0),
            &[],
            &values,
            &[true, true, true, false, false, nan_left],
        );
        check(
            library,
            at_most(f32::MAX),
            &[],
            &values,
            &[true, true, true, true, false, nan_left],
        );
        let none_but = [true, false, false, false, false, nan_left];
        check(library, at_most(f32::NEG_INFINITY), &[], &values, &none_but);
    }
}

#[test]
fn zeros_go_their_way_where_zero_is_missing() {
    let values = [0.0, -0.0, 1e-35, -1e-35, 1.2e-35, -1.2e-35, 1e-45, f32::NAN];
    let test = |zero_left| Test::AtMost {
        threshold: -1.0,
        nan_left: true,
        zero_left,
    };
    let library = Library::LightGbm;
    let to_left = [true, true, true, true, false, false, true, true];
    check(library, test(Some(true)), &[], &values, &to_left);
    let only_nan = [false, false, false, false, false, false, false, true];
    check(library, test(Some(false)), &[], &values, &only_nan);
    check(library, test(None), &[], &values, &only_nan);
}

#[test]
fn categories_follow_the_library() {
    // Categories 0, 2 and 33; the word before belongs to another node.
    let categories = [u32::MAX, 0b101, 0b10];
    let test = |nan_left| Test::OneOf {
        first: 1,
        words: 2,
        nan_left,
    };
    let values = [
        0.0,
        -0.0,
        -0.5,
        2.9,
        1.0,
        33.0,
        64.0,
        -1.0,
        4e9,
        f32::INFINITY,
        f32::NAN,
    ];
    let lightgbm = [
        true, true, true, true, false, true, false, false, false, false, true,
    ];
    check(
        Library::LightGbm,
        test(true),
        &categories,
        &values,
        &lightgbm,
    );
    let xgboost = [
        true, true, false, true, false, true, false, false, false, false, false,
    ];
    check(
        Library::XgBoost,
        test(false),
        &categories,
        &values,
        &xgboost,
    );
}

#[test]
fn an_empty_ensemble_is_its_base() {
    for library in [Library::LightGbm, Library::XgBoost] {
        let ensemble = Ensemble {
            library,
            base: 0.5,
            average: true,
            ..Ensemble::default()
        };
        for layout in LAYOUTS.into_iter().chain([Layout::Naive]) {
            assert_eq!(
                bits(&ensemble, layout, &Matrix::new(2, &[])),
                [0.5_f64.to_bits(); 2]
            );
        }
    }
}

#[test]
fn lightgbm_sums_in_f64_and_xgboost_in_f32() {
    let stump = |leaf| Tree {
        nodes: vec![],
        leaves: vec![leaf],
    };
    let leaves = [1e8, 1.0, -1e8];
    for (library, sum) in [(Library::LightGbm, 1.0_f64), (Library::XgBoost, 0.0)] {
        let ensemble = Ensemble {
            library,
            trees: leaves.map(stump).to_vec(),
            ..Ensemble::default()
        };
        for layout in LAYOUTS.into_iter().chain([Layout::Naive]) {
            assert_eq!(
                bits(&ensemble, layout, &Matrix::new(1, &[])),
                [sum.to_bits()]
            );
        }
    }
}

#[test]
fn a_link_turns_sums_into_predictions() {
    let logistic = Link::Logistic { scale: 2.0 };
    assert_eq!(Link::Identity.apply(-3.5), -3.5);
    assert_eq!(logistic.apply(0.0), 0.5);
    assert_eq!(logistic.apply(f64::INFINITY), 1.0);
    assert_eq!(logistic.apply(f64::NEG_INFINITY), 0.0);
    assert!((logistic.apply(1.0) - 0.880_797_077_977_882_3).abs() < 1e-15);
    assert_eq!(Link::Exp.apply(0.0), 1.0);
    let nan = Link::Logistic { scale: 0.0 }.apply(f64::INFINITY);
    assert_eq!(nan.to_bits(), f64::NAN.to_bits());
}

#[test]
fn chains_that_would_blow_up_stay_naive() {
    let chain = |to_left: bool| {
        let nodes = (1..1_000_u16).map(|at| {
            let next = if at == 999 {
                Child::Leaf(0)
            } else {
                Child::Node(at)
            };
            let (left, right) = if to_left {
                (next, Child::Leaf(at))
            } else {
                (Child::Leaf(at), next)
            };
            let test = Test::AtMost {
                threshold: f32::from(at),
                nan_left: true,
                zero_left: None,
            };
            Node {
                feature: 0,
                test,
                left,
                right,
            }
        });
        Forest::new(Ensemble {
            features: vec![0],
            trees: vec![Tree {
                nodes: nodes.collect(),
                leaves: vec![0.0; 1_000],
            }],
            ..Ensemble::default()
        })
        .expect("valid")
        .layout()
    };
    assert_eq!(
        chain(true),
        Layout::Naive,
        "left subtrees of up to 999 leaves"
    );
    assert_eq!(
        chain(false),
        Layout::QuickScorer,
        "left subtrees of one leaf"
    );
}
