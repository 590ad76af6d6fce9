//! The alerts in deploy/ are valid and fire when they should: promtool evaluates them.

use std::process::Command;

use edgewise_tests::places;
use edgewise_tests::servers::promtool;

#[test]
fn every_alert_of_sources_fires_within_five_minutes_and_not_at_its_threshold() {
    let Some(promtool) = promtool() else { return };
    for arguments in [
        ["check", "rules", "prometheus-rules.yml"],
        ["test", "rules", "prometheus-rules.test.yml"],
    ] {
        let output = Command::new(&promtool)
            .args(arguments)
            .current_dir(places::root().join("deploy"))
            .output()
            .expect("promtool starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}
