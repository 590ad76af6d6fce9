//! The page in real Chromium, on phone and desktop, with the origin up and down; feeds ranked in
//! it; golden rankings in it.

use std::path::Path;
use std::process::Command;

use edgewise_tests::{places, skip};
use serde_json::Value;

use crate::golden::kept;
use crate::site::{Stack, event};

/// Runs a script of `tests/browser` with Node and gives back what it printed.
#[track_caller]
fn drive(script: &str, arguments: &[&Path]) -> Vec<u8> {
    let output = Command::new(places::node())
        .arg(places::root().join("tests/browser").join(script))
        .args(arguments)
        .output()
        .expect("node runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script} {arguments:?} (screenshots in artifacts/page): {errors}"
    );
    output.stdout
}

/// A stack with some life in it, and candidates of both users of the scripts.
fn lively() -> Stack {
    let stack = Stack::start();
    let warm: Vec<Value> = (0..60)
        .map(|n| event("like", &format!("crowd{}", n % 20), &(n % 30).to_string()))
        .collect();
    stack.events(&warm, None);
    for user in ["browser-desktop", "browser-phone"] {
        stack.personal(&format!("/api/v1/feed?user={user}"));
    }
    stack
}

#[test]
fn the_page_works_in_chromium() {
    let Some(chromium) = places::chromium() else {
        skip("no Chromium (set CHROMIUM): the page was not tested in a browser");
        return;
    };
    let mut stack = lively();
    let artifacts = places::artifacts("page");
    let page = |phase: &str, edge: &str| {
        drive(
            "page.mjs",
            &[Path::new(phase), Path::new(edge), &chromium, &artifacts],
        );
    };
    page("up", &stack.edge.url);
    stack.origin.kill();
    page("down", &stack.edge.url);
}

#[test]
fn the_page_ranks_on_the_device() {
    let Some(chromium) = places::chromium() else {
        skip("no Chromium (set CHROMIUM): no feed was ranked in a browser");
        return;
    };
    let stack = lively();
    let artifacts = places::artifacts("page");
    let edge = Path::new(&stack.edge.url);
    drive("device.mjs", &[edge, &chromium, &artifacts]);
}

#[test]
fn parity_golden_in_chromium() {
    let Some(chromium) = places::chromium() else {
        skip("no Chromium (set CHROMIUM): no golden case was ranked in a browser");
        return;
    };
    let kept = kept();
    let inputs: Vec<&str> = kept.iter().map(|(input, _)| input.as_str()).collect();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cases = dir.path().join("cases.json");
    std::fs::write(&cases, serde_json::to_vec(&inputs).expect("JSON")).expect("a file");
    let wasm = places::edge_wasm();
    let output = drive("golden.mjs", &[&wasm, &cases, &chromium]);
    let ranked: Vec<String> = serde_json::from_slice(&output).expect("JSON");
    assert_eq!(ranked.len(), 60, "all cases are ranked");
    for ((input, expected), ranked) in kept.iter().zip(ranked) {
        let ranked: Vec<&str> = ranked.lines().collect();
        assert_eq!(&ranked, expected, "in Chromium: {input}");
    }
}
