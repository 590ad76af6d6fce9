//! Golden rankings: kept bits, so that a change that moves every engine alike is seen too.
//!
//! `EDGEWISE_GOLDEN=write cargo xtask test golden` writes them anew.

use std::path::PathBuf;

use edgewise_tests::places;

use crate::parity::{EdgeWasm, golden, native};

fn path() -> PathBuf {
    places::root().join("tests/golden/ranking.jsonl")
}

/// A case a line: `{"input": ..., "output": [lines]}`.
fn rendered() -> String {
    let lines = golden().into_iter().map(|case| {
        let output = native(&case);
        let output: Vec<&str> = output.lines().collect();
        let input: serde_json::Value = serde_json::from_str(&case).expect("a case is JSON");
        serde_json::json!({ "input": input, "output": output }).to_string() + "\n"
    });
    lines.collect()
}

/// The kept cases: input and the lines that every engine answers.
pub(crate) fn kept() -> Vec<(String, Vec<String>)> {
    let kept = std::fs::read_to_string(path()).expect("tests/golden/ranking.jsonl is there");
    let case = |line: &str| {
        let case: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let output = case["output"].as_array().expect("lines").iter();
        let output = output.filter_map(serde_json::Value::as_str);
        (
            case["input"].to_string(),
            output.map(String::from).collect(),
        )
    };
    kept.lines().map(case).collect()
}

#[test]
fn golden_rankings_keep_their_bits() {
    if std::env::var_os("EDGEWISE_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(path().parent().expect("a folder")).expect("a folder");
        std::fs::write(path(), rendered()).expect("the golden file can be written");
    }
    let kept = kept();
    let mut wasm = EdgeWasm::load();
    assert_eq!(kept.len(), 60, "all cases are kept");
    for (input, expected) in kept {
        assert_eq!(
            native(&input).lines().collect::<Vec<_>>(),
            expected,
            "natively: {input}"
        );
        assert_eq!(
            wasm.rank(&input).lines().collect::<Vec<_>>(),
            expected,
            "in WASM: {input}"
        );
    }
}
