//! What clients read: the API, probes, pages, metrics.

use std::process::Command;

use edgewise_wire::{Keys, jwt};

use crate::edge::{Edge, KEYS, command};
use crate::http::{eventually, get, get_with};
use crate::origin::{Origin, Script, now_ms};

#[test]
fn the_api_answers_from_the_origin_and_then_without_it() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let trending = get(edge.address, "/api/v1/hot/trending?limit=5");
    assert_eq!(trending.status, 200, "{}", edge.log());
    assert_eq!(trending.ids()[..2], ["hot.0", "hot.1"]);
    assert_eq!(trending.header("edgewise-rung"), "hot");
    let feed = get(edge.address, "/api/v1/feed?user=ann&limit=10");
    assert_eq!(feed.ids().len(), 10);
    assert!(
        feed.ids().iter().all(|id| id.starts_with("ann.")),
        "{:?}",
        feed.ids()
    );
    assert_eq!(feed.header("edgewise-rung"), "personal");
    let items = get(edge.address, "/api/v1/items?ids=a,b");
    assert_eq!(items.status, 200);
    assert_eq!(get(edge.address, "/api/v1/similar/nothing").status, 404);
    origin.script(Script {
        down: true,
        ..Script::default()
    });
    for path in [
        "/api/v1/hot/trending?limit=5",
        "/api/v1/feed?user=ann",
        "/api/v1/items?ids=a,b",
    ] {
        for _ in 0..20 {
            assert_eq!(get(edge.address, path).status, 200, "{path}");
        }
    }
    let somebody = get(edge.address, "/api/v1/feed?user=somebody&limit=3");
    assert_eq!(somebody.status, 200, "a lower rung");
    assert_ne!(somebody.header("edgewise-rung"), "personal");
    edge.stop();
}

#[test]
fn tokens_name_users_and_claims_do_not() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--plain-user", "deny"]);
    let keys = Keys::parse(KEYS).expect("keys");
    let token = jwt::sign("ann", now_ms() / 1_000 + 600, &keys);
    let bearer = format!("authorization: Bearer {token}\r\n");
    let feed = get_with(edge.address, "/api/v1/feed", &bearer);
    assert_eq!(feed.status, 200);
    assert!(feed.ids()[0].starts_with("ann."));
    assert_eq!(get(edge.address, "/api/v1/feed?user=ann").status, 401);
    let other = get_with(edge.address, "/api/v1/feed?user=bob", &bearer);
    assert_eq!(other.status, 403);
    let bad = "authorization: Bearer \u{e9}\u{e8}\r\n";
    assert_eq!(get_with(edge.address, "/api/v1/feed", bad).status, 401);
    let twice = format!("{bearer}{bearer}");
    assert_eq!(get_with(edge.address, "/api/v1/feed", &twice).status, 401);
}

#[test]
fn operators_see_what_happens() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    assert_eq!(get(edge.address, "/livez").body, b"ok");
    assert_eq!(get(edge.address, "/readyz").status, 200);
    let version = get(edge.address, "/version").json();
    assert!(version.to_string().contains("native"), "{version}");
    let unchanged = {
        let first = get(edge.address, "/api/v1/hot/trending");
        let tag = format!("if-none-match: {}\r\n", first.header("etag"));
        get_with(edge.address, "/api/v1/hot/trending", &tag)
    };
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header("content-length"), "");
    eventually("metrics say so", || {
        let metrics = get(edge.admin, "/metrics").body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        [
            "edgewise_edge_requests_total{status=\"2xx\",rung=\"hot\"} 1",
            "edgewise_edge_requests_total{status=\"3xx\",rung=\"hot\"} 1",
            "edgewise_edge_origin_requests_total{outcome=\"2xx\"}",
            "edgewise_edge_origin_seconds_bucket",
            "edgewise_edge_tier_hits_total{tier=\"origin\"}",
            "edgewise_edge_spool_parcels 0",
            "# HELP edgewise_edge_coalesced_total",
        ]
        .iter()
        .all(|line| metrics.contains(line))
    });
    assert_eq!(get(edge.admin, "/secrets").status, 404);
    assert_eq!(
        get(edge.address, "/metrics").status,
        404,
        "not for the public"
    );
    eventually("a bundle is warmed", || {
        origin.asked("/internal/v1/candidates/warm") == 1
    });
}

#[test]
fn pages_come_from_the_folder_and_nothing_else_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let dist = folder.path().join("dist");
    std::fs::create_dir(&dist).expect("a folder");
    std::fs::write(dist.join("index.html"), "<p>page").expect("a file");
    std::fs::write(folder.path().join("secret.txt"), "secret").expect("a file");
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--assets", dist.to_str().expect("a path")]);
    let page = get(edge.address, "/");
    assert_eq!(page.body, b"<p>page");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "//secret.txt",
        "/dist/index.html",
    ] {
        assert_eq!(get(edge.address, path).status, 404, "{path}");
    }
}

#[test]
fn what_is_configured_wrong_is_said_before_anything_starts() {
    let origin = Origin::start();
    let fails = |change: fn(&mut Command)| {
        let mut command = command(&origin);
        change(&mut command);
        let output = command.output().expect("it runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = fails(|command| {
        command.env_remove("EDGEWISE_ADMIN_TOKEN");
    });
    assert!(said.contains("EDGEWISE_ADMIN_TOKEN is not set"), "{said}");
    let said = fails(|command| {
        command.env("EDGEWISE_TOKEN_KEYS", "k:hunter2hunter2");
    });
    assert!(
        said.contains("token keys") && !said.contains("hunter2"),
        "{said}"
    );
    let said = fails(|command| {
        command.env("EDGEWISE_PLAIN_USER", "maybe");
    });
    assert!(said.contains("--plain-user"), "{said}");
    let said = fails(|command| {
        command.args(["--data-dir", "/proc/nowhere"]);
    });
    assert!(said.contains("--data-dir"), "{said}");
    let help = command(&origin).arg("--help").output().expect("it runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("--trust-forwarded"));
    assert!(
        !help.contains(crate::origin::TOKEN) && !help.contains(KEYS),
        "{help}"
    );
}
