//! Laws of evaluators: every layout gives the bits of the naive one, on any ensemble.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::Matrix;

use super::random::{ensemble, matrix, shape};
use super::*;

const LAYOUTS: [Layout; 1] = [Layout::BitSliced];

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
        rows in prop_oneof![Just(0_usize), Just(1), Just(15), Just(16), Just(17), Just(32), 33..70_usize, 255..260_usize, Just(513)],
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
fn xgboosts_leaves_are_f32_in_every_layout() {
    let stump = |leaf| Tree {
        nodes: vec![],
        leaves: vec![leaf],
    };
    // Half a step above 1 rounds to 1; a little more, which no f32 says, would not.
    let half = f64::from(f32::EPSILON) / 2.0;
    let ensemble = Ensemble {
        library: Library::XgBoost,
        trees: [1.0, half * (1.0 + 1e-8)].map(stump).to_vec(),
        ..Ensemble::default()
    };
    for layout in LAYOUTS.into_iter().chain([Layout::Naive]) {
        let sums = bits(&ensemble, layout, &Matrix::new(1, &[]));
        assert_eq!(sums, [1.0_f64.to_bits()], "{layout:?}");
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
