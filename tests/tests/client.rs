//! The client's own tests, with Node's runner.

use std::process::Command;

use edgewise_tests::places;

#[test]
fn the_client_passes_its_tests_in_node() {
    let dir = places::root().join("edge/client");
    let output = Command::new(places::node())
        .args(["--test", "test/*.test.mjs"])
        .current_dir(&dir)
        .output()
        .expect("node runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    assert!(report.contains("fail 0") && !report.contains("tests 0"), "{report}");
}
