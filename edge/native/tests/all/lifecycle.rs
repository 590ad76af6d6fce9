//! Restarts and stops.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::edge::Edge;
use crate::http::{eventually, get};
use crate::origin::{Origin, Script};

#[test]
fn a_restart_answers_from_disk_while_the_origin_is_down() {
    let (origin, folder) = (Origin::start(), tempfile::tempdir().expect("a folder"));
    let options = ["--data-dir", folder.path().to_str().expect("a path")];
    let edge = Edge::start(&origin, &options);
    let before = get(edge.address, "/api/v1/feed?user=ann&limit=5");
    assert_eq!(get(edge.address, "/api/v1/hot/trending").status, 200);
    edge.stop();
    origin.script(Script {
        down: true,
        ..Script::default()
    });
    let edge = Edge::start(&origin, &options);
    let after = get(edge.address, "/api/v1/feed?user=ann&limit=5");
    assert_eq!(after.status, 200, "{}", edge.log());
    assert_eq!(after.ids(), before.ids());
    assert!(after.header("edgewise-rung").starts_with("personal"));
    assert_eq!(get(edge.address, "/api/v1/hot/trending").status, 200);
    assert_eq!(get(edge.address, "/readyz").status, 200);
    edge.stop();
}

#[test]
fn a_stop_finishes_what_is_open() {
    let origin = Origin::start();
    origin.script(Script {
        delay: Duration::from_millis(700),
        ..Script::default()
    });
    let mut edge = Edge::start(&origin, &[]);
    let address = edge.address;
    let open = std::thread::spawn(move || get(address, "/api/v1/feed?user=ann"));
    eventually("the origin is asked", || {
        origin.asked("/internal/v1/candidates/ann") == 1
    });
    edge.signal(Signal::SIGTERM);
    assert_eq!(open.join().expect("no panic").status, 200);
    assert!(edge.wait().success(), "{}", edge.log());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_stop_is_announced_to_balancers() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &["--drain-delay-s", "600"]);
    assert_eq!(get(edge.address, "/readyz").status, 200);
    edge.signal(Signal::SIGTERM);
    eventually("it is not ready", || {
        get(edge.address, "/readyz").status == 503
    });
    let feed = get(edge.address, "/api/v1/feed?user=ann");
    assert_eq!(feed.status, 200, "it still answers");
    edge.signal(Signal::SIGTERM);
    assert!(edge.wait().success(), "asked twice, it stops at once");
}

#[test]
fn a_second_process_takes_neither_address_nor_folder() {
    let (origin, folder) = (Origin::start(), tempfile::tempdir().expect("a folder"));
    let folder = folder.path().to_str().expect("a path");
    let edge = Edge::start(&origin, &["--data-dir", folder]);
    let run = |options: &[&str]| {
        let mut command = crate::edge::command(&origin);
        let output = command.args(options).output().expect("it runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = run(&["--data-dir", folder]);
    assert!(said.contains("spool.redb"), "{said}");
    // The later option wins.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_edgewise-edge"));
    let output = command
        .env_clear()
        .env("EDGEWISE_ADMIN_TOKEN", crate::origin::TOKEN)
        .env("EDGEWISE_TOKEN_KEYS", crate::edge::KEYS)
        .args([
            "--origin",
            &origin.url(),
            "--listen",
            &edge.address.to_string(),
        ])
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--listen"), "{said}");
    assert_eq!(get(edge.address, "/livez").status, 200);
}
