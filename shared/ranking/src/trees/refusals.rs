//! Ensembles that [`Ensemble::check`] must refuse: nothing that comes from a file is trusted.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;

fn at_most(threshold: f32) -> Test {
    Test::AtMost {
        threshold,
        nan_left: false,
        zero_left: None,
    }
}

fn node(left: Child, right: Child) -> Node {
    Node {
        feature: 0,
        test: at_most(0.0),
        left,
        right,
    }
}

fn of(nodes: Vec<Node>) -> Ensemble {
    let leaves = vec![0.0; nodes.len() + 1];
    Ensemble {
        features: vec![0],
        trees: vec![Tree { nodes, leaves }],
        ..Ensemble::default()
    }
}

fn stump(test: Test) -> Ensemble {
    of(vec![Node {
        test,
        ..node(Child::Leaf(0), Child::Leaf(1))
    }])
}

#[track_caller]
fn refused(ensemble: &Ensemble, why: &str) {
    let error = ensemble.check().expect_err("should be refused");
    assert_eq!(error.to_string(), why);
    assert_eq!(Forest::new(ensemble.clone()), Err(error));
}

#[test]
fn a_tree_is_accepted() {
    let inner = vec![
        node(Child::Node(1), Child::Leaf(2)),
        node(Child::Leaf(1), Child::Leaf(0)),
    ];
    assert_eq!(of(inner).check(), Ok(()));
    assert_eq!(of(vec![]).check(), Ok(()));
    assert_eq!(stump(at_most(f32::NEG_INFINITY)).check(), Ok(()));
}

#[test]
fn what_is_no_tree_is_refused() {
    use Child::{Leaf, Node as Inner};
    let cases = [
        (vec![node(Inner(0), Leaf(0))], "tree 0: the root is a child"),
        (
            vec![node(Leaf(0), Leaf(0))],
            "tree 0: a child has two parents",
        ),
        (
            vec![node(Leaf(0), Leaf(2))],
            "tree 0: a child does not exist",
        ),
        (
            vec![node(Leaf(0), Inner(1))],
            "tree 0: a child does not exist",
        ),
        (
            vec![node(Inner(1), Inner(1)), node(Leaf(0), Leaf(1))],
            "tree 0: a child has two parents",
        ),
        (
            // Nodes 1 and 2 name each other; the root has its leaves.
            vec![
                node(Leaf(0), Leaf(1)),
                node(Inner(2), Leaf(2)),
                node(Inner(1), Leaf(3)),
            ],
            "tree 0: nodes form a cycle",
        ),
        (
            vec![node(Leaf(0), Leaf(1)), node(Inner(1), Leaf(2))],
            "tree 0: nodes form a cycle",
        ),
    ];
    for (nodes, why) in cases {
        refused(&of(nodes), why);
    }
}

#[test]
fn leaves_must_match_nodes() {
    let mut ensemble = of(vec![node(Child::Leaf(0), Child::Leaf(1))]);
    ensemble.trees[0].leaves.push(0.0);
    refused(&ensemble, "tree 0: a tree has one leaf more than nodes");
    ensemble.trees[0].leaves.clear();
    refused(&ensemble, "tree 0: a tree has one leaf more than nodes");
}

#[test]
fn numbers_must_be_usable() {
    refused(
        &stump(at_most(f32::NAN)),
        "tree 0: a threshold is not finite",
    );
    // Every number goes left: how LightGBM tells missing values from all others.
    assert_eq!(stump(at_most(f32::INFINITY)).check(), Ok(()));
    let mut ensemble = of(vec![]);
    ensemble.trees[0].leaves[0] = f64::NAN;
    refused(&ensemble, "tree 0: a leaf is not finite");
    // Finite as f64, not as the f32 that XGBoost sums.
    ensemble.trees[0].leaves[0] = 1e300;
    assert_eq!(ensemble.check(), Ok(()));
    ensemble.library = Library::XgBoost;
    refused(&ensemble, "tree 0: a leaf is not finite");
    let why = "tree 0: the base margin or the link's scale is not finite";
    for (base, scale) in [(f64::NAN, 1.0), (1e300, 1.0), (0.0, f64::INFINITY)] {
        let ensemble = Ensemble {
            library: Library::XgBoost,
            base,
            link: Link::Logistic { scale },
            ..Ensemble::default()
        };
        refused(&ensemble, why);
    }
}

#[test]
fn what_nodes_name_must_exist() {
    let mut ensemble = of(vec![node(Child::Leaf(0), Child::Leaf(1))]);
    ensemble.features.clear();
    refused(&ensemble, "tree 0: a node's feature does not exist");
    for (first, words) in [(0, 3), (2, 1), (u32::MAX, u16::MAX)] {
        let mut ensemble = stump(Test::OneOf {
            first,
            words,
            nan_left: false,
        });
        ensemble.categories = vec![0; 2];
        refused(&ensemble, "tree 0: a set of categories does not exist");
    }
}

#[test]
fn limits_hold() {
    let chain = |leaves: usize| {
        let nodes = (1..leaves).map(|at| {
            let next = if at + 1 == leaves {
                Child::Leaf(0)
            } else {
                Child::Node(at as u16)
            };
            node(Child::Leaf(at as u16), next)
        });
        of(nodes.collect())
    };
    assert_eq!(chain(LEAVES_MAX).check(), Ok(()));
    refused(
        &chain(LEAVES_MAX + 1),
        "leaves of a tree: 1025 are more than 1024",
    );

    let mut ensemble = of(vec![]);
    ensemble.trees = vec![ensemble.trees[0].clone(); TREES_MAX + 1];
    refused(&ensemble, "trees: 10001 are more than 10000");
    let mut ensemble = of(vec![]);
    ensemble.features = vec![0; FEATURES_MAX + 1];
    refused(&ensemble, "features: 4097 are more than 4096");
    let mut ensemble = of(vec![]);
    ensemble.categories = vec![0; CATEGORY_WORDS_MAX + 1];
    refused(
        &ensemble,
        "words of categories: 262145 are more than 262144",
    );
    let mut ensemble = chain(LEAVES_MAX);
    ensemble.trees = vec![ensemble.trees[0].clone(); LEAVES_TOTAL_MAX / LEAVES_MAX + 1];
    refused(
        &ensemble,
        "leaves of all trees: 263168 are more than 262144",
    );
}
