//! Edits of a sample, each refused by its name.

use std::format;
use std::string::ToString;

use super::{DUMP, TEXT, XGB, read};
use crate::import::ImportError;

/// What is replaced, by what, and what the message has.
type Edit = (&'static str, &'static str, &'static str);

/// Of LightGBM's text.
const TEXT_EDITS: &[Edit] = &[
    (
        "version=v4",
        "version=v2",
        "model version \"v2\" is not supported",
    ),
    ("version=v4\n", "", "version is missing"),
    (
        "num_class=1",
        "num_class=3",
        "num_class is \"3\": one output",
    ),
    (
        "iteration=1",
        "iteration=3",
        "num_tree_per_iteration is \"3\": one output",
    ),
    ("is_linear=0", "is_linear=1", "a linear tree"),
    ("sigmoid:1", "sigmoid:x", "is not supported"),
    ("sigmoid:1", "sigmoid:nan", "not finite"),
    (
        "num_leaves=4",
        "num_leaves=1000000000",
        "leaves of a tree: 1000000000",
    ),
    ("num_leaves=4", "num_leaves=1025", "leaves of a tree: 1025"),
    ("num_leaves=4", "num_leaves=5", "leaf_value"),
    ("num_leaves=4", "num_leaves=0", "leaf_value"),
    ("num_leaves=4", "num_leaves=-1", "num_leaves is \"-1\""),
    ("Tree=1", "Tree=1000000000", "Tree is"),
    (
        "threshold=-1.0000000180025095e-35",
        "threshold=nan",
        "threshold is not finite",
    ),
    ("leaf_value=0.0", "leaf_value=nan 0.0", "leaf_value"),
    (
        "leaf_value=0.033333333333333333",
        "leaf_value=inf",
        "a leaf is not finite",
    ),
    (
        "left_child=1",
        "left_child=0",
        "tree 0: the root is a child",
    ),
    (
        "left_child=1",
        "left_child=2",
        "tree 0: a child has two parents",
    ),
    (
        "left_child=1",
        "left_child=7",
        "tree 0: a child does not exist",
    ),
    ("left_child=1", "left_child=-2147483648", "a child is"),
    ("left_child=1 -1", "left_child=-1 1", "nodes form a cycle"),
    (
        "num_cat=1",
        "num_cat=1000000000",
        "leaves of a tree: 1000000000",
    ),
    ("boundaries=0 1", "boundaries=0 9000000000", "cat_threshold"),
    ("boundaries=0 1", "boundaries=1 0", "cat_threshold"),
    ("35 0 -0.5", "35 1 -0.5", "a set of categories"),
    (
        "decision_type=8",
        "decision_type=12",
        "decision_type is \"12\"",
    ),
    (
        "names=age watch kind",
        "names=age watch",
        "a feature's name is missing",
    ),
    (
        "split_feature=0 2",
        "split_feature=0 4000000000",
        "feature's name is missing",
    ),
    (
        "split_feature=0 2",
        "split_feature=0 -2",
        "a split's feature is \"-2\"",
    ),
];

/// Of LightGBM's dump.
const DUMP_EDITS: &[Edit] = &[
    (
        "\"binary sigmoid:1\"",
        "\"multiclass num_class:3\"",
        "objective \"multiclass",
    ),
    (
        "\"num_class\": 1",
        "\"num_class\": 3",
        "num_class is \"3\": one output",
    ),
    ("iteration\": 1", "iteration\": 3", "one output"),
    ("\"leaf_value\"", "\"leaf_const\"", "a linear tree"),
    ("\"leaf_value\"", "\"leaf\"", "split_feature is missing"),
    ("\"left_child\"", "\"right_child\"", "left_child is missing"),
    (
        "\"threshold\": -1.0000000180025095e-35",
        "\"threshold\": NaN",
        "not finite",
    ),
    ("\"1||4\"", "\"1||-4\"", "categories with || between them"),
    (
        "\"1||4\"",
        "\"2000000000\"",
        "words of categories: 62500001",
    ),
    (
        "\"missing_type\": \"N",
        "\"missing_type\": \"X",
        "None, Zero or NaN",
    ),
];

/// Of XGBoost's JSON.
const XGB_EDITS: &[Edit] = &[
    (
        "\"gbtree\"",
        "\"dart\"",
        "booster \"dart\" is not supported",
    ),
    (
        "\"num_class\":\"0\"",
        "\"num_class\":\"3\"",
        "num_class is \"3\": one output",
    ),
    (
        "target\":\"1\"",
        "target\":\"2\"",
        "num_target is \"2\": one output",
    ),
    (
        "vector\":\"1\"",
        "vector\":\"2\"",
        "size_leaf_vector is \"2\": one output",
    ),
    (
        "\"tree_info\":[0,0]",
        "\"tree_info\":[0,1]",
        "tree_info is \"1\": one output",
    ),
    ("[5E-1]", "[5E-1,5E-1]", "base_score is"),
    ("[5E-1]", "[1.5E0]", "base_score is \"1.5\""),
    ("[5E-1]", "NaN", "base_score is"),
    (
        "num_trees\":\"2\"",
        "num_trees\":\"1000000000\"",
        "num_trees is \"1000000000\"",
    ),
    ("\"id\":1", "\"id\":1000000000", "a tree's id is"),
    ("[1.0473029E-2,", "[NaN,", "a threshold is not finite"),
    (
        "3.6E-1,-4.4000003E-1,4.0800002E-1,-5.454546E-2],\"split_i",
        "NaN,1,1,1],\"split_i",
        "a leaf is not finite",
    ),
    (
        "left_children\":[1,3,",
        "left_children\":[1,0,",
        "a child is \"0\": a tree",
    ),
    (
        "left_children\":[1,3,",
        "left_children\":[1,1,",
        "a child is \"1\": a tree",
    ),
    (
        "left_children\":[1,3,",
        "left_children\":[1,99,",
        "a child is \"99\": a node",
    ),
    (
        "left_children\":[1,3,",
        "left_children\":[1,-2,",
        "a child is \"-2\": a node",
    ),
    (
        "left_children\":[1,3,",
        "left_children\":[1,3,3,",
        "an entry a node",
    ),
    ("sizes\":[5,1]", "sizes\":[5,5]", "a segment a node"),
    ("sizes\":[5,1]", "sizes\":[-5,11]", "a segment a node"),
    (
        "categories\":[0,",
        "categories\":[-1,",
        "categories is \"-1\"",
    ),
    (
        "categories\":[0,",
        "categories\":[2000000000,",
        "words of categories: 62500001",
    ),
    (
        "split_type\":[0,1",
        "split_type\":[0,2",
        "a split of type \"2\"",
    ),
    (
        "\"split_indices\":[0",
        "\"split_indices\":[-1",
        "a split's feature is \"-1\"",
    ),
    ("\"kind\"", "\"k\\u00efnd\"", "the feature \"kïnd\""),
    ("[\"age\",\"watch\",\"kind\"]", "[]", "the feature \"f0\""),
    (
        "[\"age\",\"watch\",\"kind\"]",
        "[\"age\"]",
        "a feature's name is missing",
    ),
];

/// A sample with the first `from` made `to` is refused, and the message has `why`.
#[track_caller]
fn refused(sample: &str, (from, to, why): (&str, &str, &str)) {
    assert!(sample.contains(from), "the sample has no {from}");
    let read = read(sample.replacen(from, to, 1).as_bytes());
    let error = read.map(|_| to).expect_err(why);
    assert!(error.to_string().contains(why), "{error} has no {why:?}");
}

#[test]
fn edits_are_refused_by_name() {
    for (sample, edits) in [(TEXT, TEXT_EDITS), (DUMP, DUMP_EDITS), (XGB, XGB_EDITS)] {
        for edit in edits {
            refused(sample, *edit);
        }
    }
}

#[test]
fn objectives_that_are_no_sum_with_a_link_are_refused_by_name() {
    for objective in [
        "multiclass num_class:3",
        "regression sqrt",
        "cross_entropy_lambda",
        "new",
    ] {
        let why = format!("objective {objective:?} is not supported");
        refused(TEXT, ("binary sigmoid:1", objective, &why));
        refused(DUMP, ("binary sigmoid:1", objective, &why));
    }
    for objective in ["multi:softprob", "survival:cox", "binary:hinge", "reg:new"] {
        let why = format!("objective {objective:?} is not supported");
        refused(XGB, ("binary:logistic", objective, &why));
    }
    // Early versions took the base score for a probability, later ones for a margin.
    let raw = XGB.replace("binary:logistic", "binary:logitraw");
    assert_eq!(read(raw.as_bytes()).unwrap().ensemble.base, 0.5);
    refused(
        &raw,
        ("[3,2,0]", "[1,7,6]", "binary:logitraw of version \"1\""),
    );
    let linear = "{\"learner\":{\"gradient_booster\":{\"model\":{\"weights\":[1]},\
                  \"name\":\"gblinear\"}}}";
    refused(linear, ("1", "2", "booster \"gblinear\" is not supported"));
}

#[test]
fn features_that_splits_read_have_to_be_known() {
    let name = "elsewhere".to_string();
    let unknown = ImportError::UnknownFeature { name };
    for sample in [TEXT, DUMP] {
        assert_eq!(
            read(sample.replace("watch", "elsewhere").as_bytes()),
            Err(unknown.clone())
        );
    }
    // No split of this one reads it.
    assert!(read(XGB.replace("watch", "elsewhere").as_bytes()).is_ok());
}
