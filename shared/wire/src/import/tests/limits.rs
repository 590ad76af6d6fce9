//! Depth, counts and sizes.

use std::format;
use std::string::{String, ToString};

use edgewise_ranking::trees::{LEAVES_MAX, TREES_MAX};

use super::{FOREST, read};
use crate::import::ImportError;

/// A model whose tree leans to one side, as deep as it has inner nodes.
fn chain(leaves: usize) -> String {
    let split = "{\"split_feature\":0,\"threshold\":1,\"decision_type\":\"<=\",\"default_left\":true,\
                 \"missing_type\":\"None\",\"right_child\":{\"leaf_value\":1},\"left_child\":";
    format!(
        "{{\"version\":\"v4\",\"num_class\":1,\"feature_names\":[\"age\"],\"tree_info\":[\
         {{\"tree_structure\":{}{{\"leaf_value\":2}}{}}}]}}",
        split.repeat(leaves - 1),
        "}".repeat(leaves - 1)
    )
}

#[test]
fn a_chain_of_as_many_leaves_as_are_allowed_is_taken() {
    let imported = read(chain(LEAVES_MAX).as_bytes()).unwrap();
    assert_eq!(imported.ensemble.trees[0].leaves.len(), LEAVES_MAX);
    for leaves in [LEAVES_MAX + 1, 100 * LEAVES_MAX] {
        let error = read(chain(leaves).as_bytes()).unwrap_err();
        let named = error.to_string();
        assert!(
            named.contains("leaves of a tree") || named.contains("too deep"),
            "{named}"
        );
    }
    for deep in ["[", "{\"a\":"] {
        let error = read(format!("{{\"a\":{}", deep.repeat(1_000_000)).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("too deep"), "{error}");
    }
}

#[test]
fn counts_of_ubjson_reserve_nothing_and_keep_nobody_busy() {
    let model = |value: &[u8]| [b"{U\x01a", value].concat();
    let billion = 1_000_000_000_i64.to_be_bytes();
    let refused = |value: &[u8], why: &str| {
        let error = read(&model(value)).unwrap_err().to_string();
        assert!(error.contains(why), "{error} has no {why:?}");
    };
    refused(&[b"[#L", &billion[..]].concat(), "the UBJSON ends early");
    refused(&[b"[$d#L", &billion[..]].concat(), "the UBJSON ends early");
    refused(
        &[b"[$Z#L", &billion[..]].concat(),
        "a packed UBJSON array of no number",
    );
    refused(&[b"SL", &billion[..]].concat(), "the UBJSON ends early");
    refused(
        &[b"SL", &(-1_i64).to_be_bytes()[..]].concat(),
        "no UBJSON length",
    );
    refused(b"{#U\x01", "a counted UBJSON object");
    refused(b"H", "no UBJSON type that XGBoost writes");
    refused(&b"[".repeat(100_000), "nested too deep");
    refused(b"Z}}", "more after the UBJSON");
    refused(b"SU\x02\xc3\x28}", "not UTF-8");
}

#[test]
fn limits_hold_while_a_file_is_read() {
    let (head, tree) = FOREST.split_at(FOREST.find("Tree=0").unwrap());
    let tree = &tree[..tree.find("Tree=1").unwrap()];
    let trees = |count: usize| {
        let mut text = head.to_string();
        for at in 0..count {
            text += &tree.replace("Tree=0", &format!("Tree={at}"));
        }
        text + "end of trees\n"
    };
    let most = read(trees(TREES_MAX).as_bytes()).unwrap();
    assert_eq!(most.ensemble.trees.len(), TREES_MAX);
    let error = read(trees(TREES_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "trees: 10001 are more than 10000");
    let error = read(trees(0).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "a tree is missing");
    let large = std::vec![b' '; crate::limits::IMPORT_BYTES_MAX + 1];
    assert!(matches!(read(&large), Err(ImportError::TooLarge { .. })));
}
