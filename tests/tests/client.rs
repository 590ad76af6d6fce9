//! The client's and the page's own tests, with Node's runner.

use std::process::Command;

use edgewise_tests::places;

#[test]
fn client_and_page_pass_their_tests_in_node() {
    let output = Command::new(places::node())
        .args([
            "--test",
            "edge/client/test/*.test.mjs",
            "edge/page/test/*.test.mjs",
        ])
        .current_dir(places::root())
        .output()
        .expect("node runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    assert!(
        report.contains("fail 0") && !report.contains("tests 0"),
        "{report}"
    );
}
