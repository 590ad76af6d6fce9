//! What only workerd itself can show: golden cases, and the Worker as a proxy before an origin that
//! misbehaves.

use std::process::Command;

use edgewise_tests::places;
use serde_json::Value;

use crate::parity::{golden, native};

#[test]
fn parity_golden_in_workerd() {
    let cases = golden();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let input = dir.path().join("cases.json");
    std::fs::write(&input, serde_json::to_vec(&cases).expect("JSON")).expect("a file");
    let output = Command::new(places::node())
        .arg(places::root().join("tests/workerd/golden.mjs"))
        .arg(places::edge_wasm())
        .arg(&input)
        .output()
        .expect("node runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let ranked: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(ranked.len(), cases.len());
    for (case, line) in cases.iter().zip(ranked) {
        assert_eq!(line.as_str(), Some(native(case).as_str()), "for {case}");
    }
}

#[test]
fn the_worker_is_a_proxy() {
    let output = Command::new(places::node())
        .arg(places::root().join("tests/workerd/proxy.mjs"))
        .output()
        .expect("node runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
