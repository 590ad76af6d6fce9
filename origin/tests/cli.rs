//! The command line as an operator meets it. (A test of the package also makes `cargo test` build
//! the binary that the end-to-end tests start.)

use std::process::{Command, Output};

fn edgewise(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgewise"))
        .args(arguments)
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_command() {
    let help = text(&edgewise(&["--help"]).stdout);
    for command in [
        "serve",
        "import",
        "replicate",
        "dead-letter",
        "reconcile",
        "rank",
        "verify",
        "backup",
        "restore",
        "user",
    ] {
        assert!(help.contains(command), "{command} is missing: {help}");
    }
}

#[test]
fn what_goes_wrong_is_a_sentence_and_a_status() {
    for (arguments, status, says) in [
        (&["frobnicate"][..], 2, "frobnicate"),
        (&["import", "--format", "csv", "x"], 2, "csv"),
        (&["rank", "/no/such/file"], 1, "/no/such/file"),
        (
            &["verify", "--data", "/no/such/folder"],
            1,
            "/no/such/folder",
        ),
        (&["serve", "--speed", "-1"], 1, "speed"),
        (
            &["replicate", "--mapping", "/no/such/file"],
            1,
            "edgewise replicate init",
        ),
        (
            &["dead-letter", "list", "--data", "/no/such/folder"],
            1,
            "/no/such/folder",
        ),
    ] {
        let output = edgewise(arguments);
        let errors = text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {errors}"
        );
        assert!(errors.contains(says), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_formula_can_be_checked_to_the_bit() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("query.json");
    // freshness 1 (age 0), engagement log1p((1 + 2*1 + 3*1) / 6) = ln 2, affinity 0.
    let query = r#"{"query":{"now_ms":1000},"candidates":[{"id":"a","author":"x","created_at_ms":1000,
        "likes":1,"comments":1,"shares":1,"impressions":6,"interactions":0}]}"#;
    std::fs::write(&path, query).expect("a file");
    let output = edgewise(&["rank", path.to_str().expect("a path")]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON line");
    let expected = 0.30 * 1.0 + 0.40 * std::f64::consts::LN_2 + 0.30 * 0.0;
    assert_eq!(line["bits"], format!("0x{:016x}", expected.to_bits()));
}
