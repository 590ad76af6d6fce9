//! The page in real Chromium, on phone and desktop, with the origin up and down.

use std::process::Command;

use edgewise_tests::{places, skip};
use serde_json::Value;

use crate::site::{Stack, event};

#[test]
fn the_page_works_in_chromium() {
    let Some(chromium) = places::chromium() else {
        skip("no Chromium (set CHROMIUM): the page was not tested in a browser");
        return;
    };
    let mut stack = Stack::start();
    let warm: Vec<Value> = (0..60)
        .map(|n| event("like", &format!("crowd{}", n % 20), &(n % 30).to_string()))
        .collect();
    stack.events(&warm, None);
    let artifacts = places::artifacts("page");
    let drive = |phase: &str, edge: &str| {
        let output = Command::new(places::node())
            .arg(places::root().join("tests/browser/page.mjs"))
            .args([phase, edge])
            .arg(&chromium)
            .arg(&artifacts)
            .output()
            .expect("node runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{phase} (screenshots in artifacts/page): {errors}"
        );
    };
    for user in ["browser-desktop", "browser-phone"] {
        stack.personal(&format!("/api/v1/feed?user={user}"));
    }
    drive("up", &stack.edge.url);
    stack.origin.kill();
    drive("down", &stack.edge.url);
}
